//! Children and signals by their numbers: the safe wrappers know the signals that have a name, and refuse real-time ones.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::libc;
use nix::unistd::ForkResult;

/// Which side of a [`fork`] this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The parent, with the child's process id
    Parent(i32),
    /// The child
    Child,
}

/// Makes a copy of this process (`fork(2)`). Only the calling thread lives on in the child.
///
/// What other threads hold locked at that moment stays locked in the child for good; the allocator's locks are taken
/// care of by the C library. So the child must not use what other threads use.
///
/// # Errors
/// The kernel refused, as when too many processes run.
#[allow(unsafe_code, reason = "fork has no safe form")]
pub fn fork() -> io::Result<Side> {
    // SAFETY: the child runs ordinary code, which is sound in a copy of a process: memory and its types are what they
    // were. With more threads a lock may be held by a thread that does not exist there, which blocks and corrupts
    // nothing; the documentation tells the caller.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Side::Parent(child.as_raw())),
        ForkResult::Child => Ok(Side::Child),
    }
}

/// The same, only while the calling thread is the only one, so that the child may do whatever the parent may.
///
/// # Errors
/// There is another thread, or the kernel refused.
pub fn fork_alone() -> io::Result<Side> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("cannot fork: another thread is running"));
    }
    fork()
}

/// Sends the signal of this number to a process, or to the process group `-pid`.
///
/// # Errors
/// There is no such process any more, or it may not be signalled.
#[allow(unsafe_code, reason = "the safe form knows no real-time signals")]
pub fn send(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two numbers and touches no memory of this process.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A child that has ended or stopped since it was last asked, without waiting for one.
///
/// # Errors
/// There is no child.
#[allow(
    unsafe_code,
    reason = "the safe form fails for a child that a real-time signal ended"
)]
pub fn wait_any() -> io::Result<Option<(i32, ExitStatus)>> {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the call to write to.
    match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) } {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Some((pid, ExitStatus::from_raw(status)))),
    }
}
