//! The few system calls that have no safe wrapper. This is the only crate with unsafe code; each block says why it is
//! sound, and has a test.

pub mod mounts;
pub mod processes;
pub mod signals;
