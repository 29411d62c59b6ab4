//! Killing a process at one of its system calls, by counting them with `ptrace(2)`.

use std::fs;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How a run under observation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The process was killed at the boundary asked for.
    Killed,
    /// The work was done before it came to that.
    Finished {
        /// Boundaries that were passed.
        boundaries: usize,
    },
}

/// Observes all threads of `process`, and kills it at boundary `at`: before (odd) or after (even) a system call. Until
/// `done` says that the work is over.
///
/// Calls that wait (`epoll_wait`, `futex`) are not counted, so that the numbers are the same in every run.
pub fn kill_at(process: i32, at: usize, started: impl FnOnce(), done: &dyn Fn() -> bool) -> Run {
    let pid = Pid::from_raw(process);
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE;
    for thread in threads(process) {
        ptrace::seize(thread, options).unwrap();
        ptrace::interrupt(thread).unwrap();
    }
    started();
    let mut boundaries = 0;
    loop {
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WNOHANG;
        let event = match waitpid(None, Some(flags)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => {
                if done() {
                    detach(process);
                    return Run::Finished { boundaries };
                }
                std::thread::sleep(std::time::Duration::from_micros(50));
                continue;
            }
            other => other.unwrap(),
        };
        match event {
            WaitStatus::PtraceSyscall(thread) => {
                boundaries += usize::from(counts(thread));
                if boundaries == at {
                    kill(pid, Signal::SIGKILL).unwrap();
                    reap_threads(pid);
                    return Run::Killed;
                }
                resume(thread, None);
            }
            WaitStatus::PtraceEvent(thread, ..) => resume(thread, None),
            WaitStatus::Stopped(thread, signal) => resume(thread, Some(signal)),
            _ => {}
        }
    }
}

fn resume(thread: Pid, signal: Option<Signal>) {
    // Of a seized thread, the first stop is not a signal's.
    let signal = signal.filter(|signal| ![Signal::SIGTRAP, Signal::SIGSTOP].contains(signal));
    match ptrace::syscall(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(other) => panic!("cannot resume: {other}"),
    }
}

/// A process that was killed is not gone before whoever traced its threads has seen each of them end.
fn reap_threads(process: Pid) {
    let threads = threads(process.as_raw()).into_iter();
    for thread in threads.filter(|thread| *thread != process) {
        loop {
            match waitpid(thread, Some(WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Signaled(..) | WaitStatus::Exited(..)) | Err(_) => break,
                Ok(_stopped_before) => {}
            }
        }
    }
}

/// Lets the process run on without observation.
fn detach(process: i32) {
    for thread in threads(process) {
        if ptrace::interrupt(thread).is_ok() && waitpid(thread, Some(WaitPidFlag::__WALL)).is_ok() {
            let _ = ptrace::detach(thread, None);
        }
    }
}

fn threads(process: i32) -> Vec<Pid> {
    fs::read_dir(format!("/proc/{process}/task"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|thread| Pid::from_raw(thread.parse().unwrap()))
        .collect()
}

/// Whether the call is one that does something.
fn counts(thread: Pid) -> bool {
    use nix::libc;
    let Ok(info) = ptrace::getregs(thread) else {
        return false;
    };
    let call = i64::try_from(info.orig_rax).unwrap_or(-1);
    ![
        libc::SYS_epoll_wait,
        libc::SYS_epoll_pwait,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_madvise,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_brk,
    ]
    .contains(&call)
}
