//! The node plugin in a real cluster, installed from its chart, with a real Vault. Every case is ignored by plain `cargo test` and
//! run by `scripts/test cluster`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audience;
mod bed;
mod canary;
mod classes;
mod consume;
mod crowd;
mod dynamic;
mod faults;
mod hostile;
mod outage;
mod refresh;
mod stay;
mod takeover;
mod user_namespace;
