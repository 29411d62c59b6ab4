//! A second process without a second program: `fork(2)` while there is one thread only.

use std::fs;
use std::io;

use nix::unistd::{ForkResult, Pid};

/// Which of the two processes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The one that was there before; the other's process ID.
    Parent(Pid),
    /// The new one.
    Child,
}

/// Makes a copy of this process.
///
/// # Errors
/// There is another thread (its locks would stay locked in the copy for ever), or the kernel refused.
#[allow(unsafe_code, reason = "fork has no safe form")]
pub fn fork() -> io::Result<Fork> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("cannot fork: another thread is running"));
    }
    // SAFETY: this is the only thread, so no lock of the allocator or of the standard library can be held by a thread
    // that the child does not have. The child may do whatever the parent may.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Fork::Parent(child)),
        ForkResult::Child => Ok(Fork::Child),
    }
}
