//! Talking to a Vault-compatible server
