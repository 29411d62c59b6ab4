//! Where a volume is mounted: a place that kubelet made for one volume of one pod, and nowhere else.
//!
//! The path that kubelet sends is compared with the only form it can have. What goes on from here is the pod's UID and
//! the volume's name; the mounter builds the path again from them, below a directory it opened at start.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Name of the mount point below [`Target::parent`].
pub const MOUNT: &str = "mount";
/// Longest UID of a pod: a UUID.
pub const MAX_POD_UID: usize = 36;
/// Longest name of a volume: a DNS label.
pub const MAX_VOLUME: usize = 63;

/// One volume of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    pod_uid: String,
    volume: String,
}

/// Why a path is no target.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// It is not below kubelet's directory of pods, or has another form.
    #[error(
        "is not of the form {kubelet}/pods/UID/volumes/kubernetes.io~csi/NAME/mount; if kubelet has another root directory, set csi.kubeletDir (--kubelet-dir)"
    )]
    Form {
        /// Kubelet's directory as it is set.
        kubelet: String,
    },
    /// The pod's UID is none.
    #[error("has a pod UID that is neither a UUID nor 32 hexadecimal digits")]
    PodUid,
    /// The volume's name is none.
    #[error("has a volume name that is no DNS label of at most {MAX_VOLUME} characters")]
    Volume,
}

// === impl Target ===

impl Target {
    /// The target of `volume` in the pod with `pod_uid`.
    ///
    /// # Errors
    /// One of them cannot be what Kubernetes makes.
    pub fn new(pod_uid: &str, volume: &str) -> Result<Self, TargetError> {
        let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = pod_uid.bytes().filter(|byte| hex(byte)).count();
        let dashes = pod_uid.bytes().filter(|byte| *byte == b'-').count();
        // Static pods have the hash of their manifest.
        if digits != 32 || digits + dashes != pod_uid.len() || ![0, 4].contains(&dashes) {
            return Err(TargetError::PodUid);
        }
        let label = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-');
        if volume.is_empty()
            || volume.len() > MAX_VOLUME
            || !volume.bytes().all(label)
            || volume.starts_with('-')
            || volume.ends_with('-')
        {
            return Err(TargetError::Volume);
        }
        Ok(Self {
            pod_uid: pod_uid.to_owned(),
            volume: volume.to_owned(),
        })
    }

    /// The target that `path` names, when kubelet's directory is `kubelet`.
    ///
    /// # Errors
    /// It has not exactly the form that kubelet gives it.
    pub fn parse(path: &str, kubelet: &Path) -> Result<Self, TargetError> {
        let form = || TargetError::Form {
            kubelet: kubelet.display().to_string(),
        };
        let below = kubelet
            .to_str()
            .and_then(|kubelet| path.strip_prefix(kubelet))
            .and_then(|rest| rest.strip_prefix("/pods/"))
            .ok_or_else(form)?;
        let parts: Vec<&str> = below.split('/').collect();
        match parts[..] {
            [uid, "volumes", "kubernetes.io~csi", volume, MOUNT] => Self::new(uid, volume),
            _ => Err(form()),
        }
    }

    /// The directory that holds the mount point, relative to kubelet's directory of pods. Kubelet makes it.
    #[must_use]
    pub fn parent(&self) -> String {
        format!("{}/volumes/kubernetes.io~csi/{}", self.pod_uid, self.volume)
    }

    /// The pod's UID.
    #[must_use]
    pub fn pod_uid(&self) -> &str {
        &self.pod_uid
    }

    /// The volume's name in the pod.
    #[must_use]
    pub fn volume(&self) -> &str {
        &self.volume
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume \"{}\" of pod {}", self.volume, self.pod_uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn parse(path: &str) -> Result<Target, TargetError> {
        Target::parse(path, Path::new("/var/lib/kubelet"))
    }

    #[test]
    fn what_kubelet_sends() {
        for uid in [UID, "0f8fad5bd9cb469fa16570867728950e"] {
            let target = parse(&format!(
                "/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/db-secrets/mount"
            ))
            .unwrap();
            assert_eq!((target.pod_uid(), target.volume()), (uid, "db-secrets"));
            assert_eq!(
                target.parent(),
                format!("{uid}/volumes/kubernetes.io~csi/db-secrets")
            );
        }
    }

    #[test]
    fn what_it_never_sends() {
        for path in [
            "",
            "mount",
            "/mount",
            "/etc",
            "/var/lib/kubelet/pods",
            &format!("var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi/a/mount"),
            &format!("/var/lib/kubelet2/pods/{UID}/volumes/kubernetes.io~csi/a/mount"),
            &format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi/a/mount/"),
            &format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi/a/mount/.."),
            &format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi/../mount"),
            &format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi//mount"),
            &format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~empty-dir/a/mount"),
            &format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi/A/mount"),
            &format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi/-a/mount"),
            &format!(
                "/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi/{}/mount",
                "a".repeat(64)
            ),
            &format!("/var/lib/kubelet/pods/./{UID}/volumes/kubernetes.io~csi/a/mount"),
            "/var/lib/kubelet/pods/../volumes/kubernetes.io~csi/a/mount",
            "/var/lib/kubelet/pods/0f8fad5b/volumes/kubernetes.io~csi/a/mount",
            &format!(
                "/var/lib/kubelet/pods/{}/volumes/kubernetes.io~csi/a/mount",
                UID.to_uppercase()
            ),
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
    }
}
