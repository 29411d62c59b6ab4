//! A node for one test: kubelet's directory on a mount namespace of its own, the plugin as a process, and kubelet's calls.

#![expect(clippy::missing_panics_doc, reason = "a test fails by panicking")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod kubelet;
pub mod script;
pub mod stepping;
pub mod volume;

pub use kubelet::{Call, Node, Plugin, VolumeOf};
