//! The launcher against a real Vault. Every case is ignored by plain `cargo test` and run by `scripts/test servers`.
#![cfg(feature = "vault")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auth;
mod canary;
mod dns;
mod empty_root;
mod faults;
mod leases;
mod peers;
mod reads;
#[cfg(feature = "stay")]
mod stay;
mod writes;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envlatch_test_support::{Program, Vault, launcher_at, test_child};
use serde_json::json;

/// Far more than anything here takes, also on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// `envlatch run`, told where `vault` is, with a child that reports what it was given.
fn run(vault: &Vault, options: &[&str]) -> Program {
    launch(vault, "run", options)
}

fn launch(vault: &Vault, verb: &str, options: &[&str]) -> Program {
    launcher_at(env!("CARGO_BIN_EXE_envlatch"))
        .arg(verb)
        .args(options)
        .arg("--")
        .arg(test_child())
        .arg("report")
        .env("VAULT_ADDR", vault.address())
}

/// The same with a root token.
fn run_as_root(vault: &Vault, options: &[&str]) -> Program {
    run(vault, options).env("VAULT_TOKEN", vault.root_token())
}

/// A name that no other test of this process uses.
fn unique(name: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A policy that lets read below `secret/`.
fn reader(vault: &Vault) -> String {
    let name = unique("reader");
    vault.policy(
        &name,
        "path \"secret/data/*\" { capabilities = [\"read\"] }",
    );
    name
}

/// A mount of userpass where `bob` logs in with `password` and may read below `secret/`.
fn userpass(vault: &Vault, password: &str) -> String {
    let mount = unique("userpass");
    vault.api(
        "POST",
        &format!("sys/auth/{mount}"),
        &json!({"type": "userpass"}),
    );
    let user = json!({"password": password, "token_policies": [reader(vault)]});
    vault.api("POST", &format!("auth/{mount}/users/bob"), &user);
    mount
}
