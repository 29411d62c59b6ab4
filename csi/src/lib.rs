//! The CSI node plugin.
pub mod content;
/// The protocols, generated from `proto/`.
pub mod proto;
pub mod source;
