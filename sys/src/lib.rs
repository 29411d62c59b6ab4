//! The few system calls that have no safe wrapper. This is the only crate with unsafe code; each block says why it is
//! sound, and has a test.

pub mod environ;
pub mod mounts;
pub mod process;
pub mod signals;
