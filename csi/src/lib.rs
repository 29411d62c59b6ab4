//! The CSI node plugin.
mod beneath;
pub mod budget;
pub mod content;
mod files;
pub mod journal;
pub mod layout;
pub mod mounter;
pub mod mountinfo;
pub mod proto;
mod record;
pub mod source;
pub mod target;
