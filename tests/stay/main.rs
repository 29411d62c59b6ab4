//! The launcher that stays, as a process: signals, ends, zombies, terminals, files that change. No server, no network.
#![cfg(feature = "stay")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;
mod exec;
mod files;
mod memory;
mod processes;
mod settings;
mod signals;
mod terminal;

use std::time::Duration;

use envlatch_test_support::{Program, launcher_at, test_child};

/// Far more than anything here takes, also on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn envlatch() -> Program {
    launcher_at(env!("CARGO_BIN_EXE_envlatch")).env("PATH", "/usr/bin:/bin")
}

/// `envlatch run OPTIONS --`, which stays unless the options say otherwise, and acts at once.
fn run(options: &[&str]) -> Program {
    envlatch()
        .env("ENVLATCH_ON_CHANGE", "restart")
        .env("ENVLATCH_SPLAY", "0s")
        .arg("run")
        .args(options)
        .arg("--")
}

/// The same with the test child, which does what `words` say.
fn child(options: &[&str], words: &[&str]) -> Program {
    run(options).arg(test_child()).args(words)
}

/// The same with a shell.
fn shell(options: &[&str], script: &str) -> Program {
    run(options).args(["/bin/sh", "-c", script])
}

/// A start that waits for a server where nobody listens; it says so.
fn waiting(on_change: &str) -> Program {
    let server = ["--addr", "http://127.0.0.1:9", "--timeout", "60s", "--"];
    envlatch()
        .args(["run", "--on-change", on_change])
        .args(server)
        .arg(test_child())
        .env("A", "vault:secret/data/a#b")
        .env("VAULT_TOKEN", "t")
}

/// Process ids of the children of a process.
fn children(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}
