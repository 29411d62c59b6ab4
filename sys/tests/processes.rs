//! Forking, with and without threads. Without the harness, which has threads of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::ExitCode;

use envlatch_sys::processes::{Fork, fork};
use nix::sys::wait::{WaitStatus, waitpid};

fn main() -> ExitCode {
    match fork().unwrap() {
        Fork::Child => return ExitCode::from(7),
        Fork::Parent(child) => {
            assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 7));
        }
    }
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let error = fork().unwrap_err().to_string();
    assert_eq!(error, "cannot fork: another thread is running");
    drop(done);
    thread.join().unwrap().unwrap_err();
    println!("processes: forks alone, refuses with a thread ... ok");
    ExitCode::SUCCESS
}
