//! What the launcher that stays has in its memory: no value that the program got.

use std::fs;

use envlatch_test_support::{CsiVolume, canary, eventually, memory_holds};
use nix::sys::signal::Signal;

use crate::{SOON, shell};

#[test]
#[ignore = "needs root, to read the memory of another process: scripts/test servers"]
fn no_value_stays_in_memory() {
    let (first, second, inherited) = (canary(), canary(), canary());
    let mut volume = CsiVolume::new(&[("VALUE", first.as_bytes())]);
    let script = "trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done";
    let mut running = shell(
        &[
            "--dir",
            volume.path().to_str().unwrap(),
            "--on-change",
            "signal:HUP",
        ],
        script,
    )
    .env("INHERITED", &inherited)
    .spawn();
    running.wait_for_stdout("ready");
    volume.swap(&[("VALUE", second.as_bytes())]);
    running.wait_for_stdout("hup");
    let launcher = running.pid().as_raw();
    let program = crate::children(launcher)[0];
    assert!(
        memory_holds(program, first.as_bytes()),
        "what the program has is found by this test"
    );
    assert!(
        memory_holds(launcher, inherited.as_bytes()),
        "what a restart needs is kept, and found by this test"
    );
    for value in [&first, &second] {
        assert!(!memory_holds(launcher, value.as_bytes()));
    }
}

/// The block that the kernel shows for as long as the launcher runs.
#[test]
fn the_launchers_own_environment_is_empty() {
    let secret = canary();
    let mut running = shell(&[], "echo ready; exec sleep 60")
        .env("VAULT_TOKEN", &secret)
        .spawn();
    running.wait_for_stdout("ready");
    let read = || match fs::read(format!("/proc/{}/environ", running.pid())) {
        Ok(block) => block.iter().all(|byte| *byte == 0),
        // Not even that may be read by others than root.
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    };
    eventually("the environment to be wiped", SOON, || read().then_some(()));
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).expect_code(143);
}
