//! Children, signals by number, and the environment block. One thread, because a fork and the environment need that.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::Duration;

use envlatch_sys::environ;
use envlatch_sys::process::{Side, fork, fork_alone, send, wait_any};

fn main() {
    a_child_ends_as_it_likes();
    real_time_signals_are_sent_and_seen();
    a_stop_is_told();
    nobody_is_left_to_wait_for();
    with_another_thread_there_is_no_fork_alone();
    with_another_thread_the_environment_is_left_alone();
    the_environment_is_wiped();
}

fn child(body: impl FnOnce()) -> i32 {
    match fork().unwrap() {
        Side::Parent(pid) => pid,
        Side::Child => {
            body();
            std::process::exit(0)
        }
    }
}

fn next_event(pid: i32) -> ExitStatus {
    loop {
        match wait_any().unwrap() {
            Some((ended, status)) => {
                assert_eq!(ended, pid);
                return status;
            }
            None => sleep(Duration::from_millis(1)),
        }
    }
}

/// A thread that was joined may still be listed for a moment.
fn wait_until_alone() {
    while fs::read_dir("/proc/self/task").unwrap().count() > 1 {
        sleep(Duration::from_millis(1));
    }
}

fn a_child_ends_as_it_likes() {
    let pid = child(|| std::process::exit(7));
    assert_eq!(next_event(pid).code(), Some(7));
}

fn with_another_thread_there_is_no_fork_alone() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let error = fork_alone().unwrap_err().to_string();
    assert_eq!(error, "cannot fork: another thread is running");
    drop(done);
    thread.join().unwrap().unwrap_err();
    wait_until_alone();
    match fork_alone().unwrap() {
        Side::Child => std::process::exit(7),
        Side::Parent(pid) => assert_eq!(next_event(pid).code(), Some(7)),
    }
}

fn real_time_signals_are_sent_and_seen() {
    let pid = child(|| sleep(Duration::from_secs(600)));
    send(pid, 40).unwrap();
    assert_eq!(next_event(pid).signal(), Some(40));
    assert!(send(pid, 0).is_err(), "it is gone");
}

fn a_stop_is_told() {
    let pid = child(|| sleep(Duration::from_secs(600)));
    send(pid, 19).unwrap();
    assert_eq!(next_event(pid).stopped_signal(), Some(19));
    send(pid, 9).unwrap();
    assert_eq!(next_event(pid).signal(), Some(9));
}

fn nobody_is_left_to_wait_for() {
    assert!(wait_any().is_err());
}

fn with_another_thread_the_environment_is_left_alone() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let before = fs::read("/proc/self/environ").unwrap();
    assert!(environ::wipe().is_err());
    assert_eq!(fs::read("/proc/self/environ").unwrap(), before);
    assert!(before.iter().any(|byte| *byte != 0), "cargo sets variables");
    drop(done);
    assert!(thread.join().unwrap().is_err());
    wait_until_alone();
}

fn the_environment_is_wiped() {
    environ::wipe().unwrap();
    assert_eq!(std::env::vars_os().count(), 0);
    let block = fs::read("/proc/self/environ").unwrap();
    assert!(block.iter().all(|byte| *byte == 0));
}
