//! What the launcher that stays has in its memory: no value that the program got.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};

use envlatch_test_support::{CsiVolume, canary, eventually};
use nix::sys::signal::Signal;

use crate::{SOON, shell};

/// Whether `bytes` are anywhere in the memory of a process. Needs to be allowed to trace it.
fn holds(pid: i32, bytes: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut looked = 0;
    let mut found = false;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let address = |hex| u64::from_str_radix(hex, 16).unwrap();
        if !rest.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
            continue;
        }
        memory.seek(SeekFrom::Start(address(from))).unwrap();
        let mut content = vec![0; usize::try_from(address(to) - address(from)).unwrap()];
        if memory.read_exact(&mut content).is_ok() {
            looked += content.len();
            found |= content.windows(bytes.len()).any(|window| window == bytes);
        }
    }
    assert!(
        looked > 100_000,
        "only {looked} bytes of memory could be read"
    );
    found
}

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
        holds(program, first.as_bytes()),
        "what the program has is found by this test"
    );
    assert!(
        holds(launcher, inherited.as_bytes()),
        "what a restart needs is kept, and found by this test"
    );
    for value in [&first, &second] {
        assert!(!holds(launcher, value.as_bytes()));
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
