# Vault in development mode listens on loopback as well; this is the listener for pods.
listener "tcp" {
  address       = "@NODE@:8200"
  tls_cert_file = "@DIR@/pki/vault.crt"
  tls_key_file  = "@DIR@/pki/vault.key"
}
api_addr = "https://@NODE@:8200"
