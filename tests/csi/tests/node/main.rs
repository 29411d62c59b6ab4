//! The node plugin as kubelet drives it. Needs root, for mounts in a namespace of each test's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod budgets;
mod ending;
mod errors;
mod flood;
mod hostile;
mod kernels;
mod kills;
mod lifecycle;
mod processes;
mod sanity;
mod scale;
mod state;
mod takeover;

use std::future::Future;

use envlatch_csi_tests::{Node, Plugin};

/// The plugin under test.
const PLUGIN: &str = env!("CARGO_BIN_EXE_envlatch-csi-tests");
const DRIVER: &str = "csi.envlatch.io";

/// Runs the asynchronous part of a test in this thread, which is the one in the right mount namespace.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn start(node: &Node) -> Plugin {
    node.start(PLUGIN, &[])
}
