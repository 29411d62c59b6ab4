//! The launcher as a process: bytes in, bytes out, exit codes. No server, no network.
//!
//! Names that begin with a letter and a number are the rows of the list of bad inputs that the launcher must survive:
//! L01 to L24 for inputs, F01 to F07 for faults (those that need a server are in tests/servers).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_inputs;
mod check;
mod files;
mod help;
mod install;
mod passing;
mod process;
mod references;

use envlatch_test_support::{Program, launcher_at, test_child};

/// The launcher with a clean environment.
fn envlatch() -> Program {
    launcher_at(env!("CARGO_BIN_EXE_envlatch"))
}

/// `envlatch run OPTIONS -- CHILD report`, where the child reports what it was given.
fn run(options: &[&str]) -> Program {
    envlatch()
        .arg("run")
        .args(options)
        .arg("--")
        .arg(test_child())
        .arg("report")
}
