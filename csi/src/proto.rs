//! The protocols between kubelet and a node plugin, generated from `proto/` while building.

#![allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

/// The Container Storage Interface.
pub mod csi {
    tonic::include_proto!("csi.v1");
}

/// Kubelet's plugin registration.
pub mod registration {
    tonic::include_proto!("pluginregistration");
}
