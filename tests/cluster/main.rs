//! The launcher in pods of a real cluster, with a real Vault; and the cluster itself. Every case is ignored by plain `cargo test`
//! and run by `scripts/test cluster`, which starts the cluster and loads the images.
#![cfg(feature = "vault")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bed;
mod chart;
mod exec;
mod image;
mod install;
mod lifecycle;
mod login;
mod shutdown;
mod stay;
mod volumes;

use envlatch_test_support::Namespace;
use serde_json::{Value, json};

/// The test program without a launcher, and behind it.
const APP: &str = "envlatch.test/app:dev";
const APP_WITH_LAUNCHER: &str = "envlatch.test/app-with-launcher:dev";
/// The launcher alone.
const LAUNCHER: &str = "envlatch.test/launcher:dev";
/// A shell.
const SHELL: &str = "envlatch.test/shell:dev";

/// The launcher in containers that have its image as a volume: [`launcher_mount`].
const ENVLATCH: &str = "/opt/envlatch/envlatch";

/// The launcher's image as a volume of a pod.
fn launcher_volume() -> Value {
    json!({"name": "envlatch", "image": {"reference": LAUNCHER, "pullPolicy": "Never"}})
}

/// Where a container has that volume.
fn launcher_mount() -> Value {
    json!({"name": "envlatch", "mountPath": "/opt/envlatch"})
}

/// A variable whose value is this text.
fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// The variables of a container that asks the shared Vault, in the namespace's role, for `DB_PASSWORD`.
fn password_from_vault(namespace: &Namespace) -> Vec<Value> {
    let vault = envlatch_test_support::Cluster::shared().vault();
    let reference = format!("vault:secret/data/{}/db#password", namespace.name());
    let mut variables = namespace.vault_env(vault);
    variables.push(variable("DB_PASSWORD", &reference));
    variables
}
