//! The CSI node plugin.
pub mod content;
pub mod layout;
pub mod mounter;
pub mod mountinfo;
pub mod proto;
pub mod source;
pub mod target;
