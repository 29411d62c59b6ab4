//! Processes that are stopped without being ended, as a server that hangs.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::eventually;

/// How long the kernel may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Stops a process. When this returns it does nothing any more: a thread that runs when the signal comes goes on until it enters
/// the kernel, long enough to answer a request.
///
/// # Panics
/// When it does not run.
#[track_caller]
pub(crate) fn freeze(pid: Pid) {
    kill(pid, Signal::SIGSTOP).expect("the process runs");
    eventually("every thread has stopped", DEADLINE, || {
        is_stopped(pid).then_some(())
    });
}

/// Lets a frozen process go on.
///
/// # Panics
/// When it has ended.
#[track_caller]
pub(crate) fn thaw(pid: Pid) {
    kill(pid, Signal::SIGCONT).expect("the process is there");
}

fn is_stopped(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    threads.flatten().all(|thread| {
        // One that has ended in the meantime does nothing either.
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name may contain anything; the state comes after it (proc_pid_stat(5)).
        stat.rsplit_once(") ")
            .is_none_or(|(_, fields)| fields.starts_with('T'))
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::lasting;

    #[test]
    fn a_frozen_process_stands_still() {
        let mut sleeper = Command::new("sleep");
        let mut sleeper = sleeper.arg("600").stdin(Stdio::null()).spawn().unwrap();
        let pid = lasting::pid(&sleeper);
        assert!(!is_stopped(pid));
        freeze(pid);
        assert!(is_stopped(pid));
        thaw(pid);
        eventually("it goes on", DEADLINE, || (!is_stopped(pid)).then_some(()));
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
