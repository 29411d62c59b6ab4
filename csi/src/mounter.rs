//! The mounter: the process with CAP_SYS_ADMIN, and what the worker may ask of it.
//!
//! It has no network, no heap from the wire, parses requests of one fixed size, and derives every path from a pod's UID
//! and a volume's name. Secrets pass it by: it makes an empty directory in a file system that is attached nowhere, hands
//! the worker a descriptor, and attaches the whole when the worker says that its files are written.
//!
//! ```text
//! publish    Create → (worker writes) → Commit: owner, links, read-only flag, one move_mount
//! refresh    Rewrite → (worker writes) → Commit: owner, one rename of ..data, links, old generation removed
//! anything   Look, Settle (links and debris), Abort, Unmount
//! ```

mod attach;
mod client;
mod confine;
mod server;
mod tmpfs;
mod tree;
mod wire;

use rustix::io::Errno;
use thiserror::Error;

pub use client::{Found, Mounter};
pub use confine::{ConfineError, confine_mounter, confine_worker};
pub use server::Server;
pub(crate) use tmpfs::resize;
pub use tmpfs::{Features, Size, Tmpfs};
pub use wire::Step;

/// Why the mounter did not do what it was asked for.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("cannot {step}: {}", describe(.errno))]
pub struct Failure {
    /// What it was doing.
    pub step: Step,
    /// What the kernel said.
    pub errno: Errno,
}

fn describe(errno: &Errno) -> std::io::Error {
    std::io::Error::from(*errno)
}
