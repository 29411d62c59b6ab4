//! The sync operator in a real cluster, installed from its chart, with a real Vault. Every case is ignored by plain `cargo test` and
//! run by `scripts/test cluster`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bed;
mod canary;
mod classes;
mod deletion;
mod deliver;
mod faults;
mod namespaces;
mod replicas;
mod rights;
mod show;
