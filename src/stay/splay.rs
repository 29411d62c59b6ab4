//! How long this pod waits with an action: always the same part of the splay, another one in each pod, so that a
//! thousand replicas whose secret changes do not restart together.

use std::time::Duration;

use ring::digest::{SHA256, digest};

use crate::environment::Environment;

/// The part of `splay` that is this pod's.
pub(super) fn share(splay: Duration, identity: &str) -> Duration {
    let hash = digest(&SHA256, identity.as_bytes());
    let mut first = [0; 4];
    first.copy_from_slice(&hash.as_ref()[..4]);
    splay.mul_f64(f64::from(u32::from_be_bytes(first)) / f64::from(u32::MAX))
}

/// What tells this pod from its siblings: its name, and its uid for pods whose manifest sets one host name for all.
pub(super) fn identity(environment: &Environment) -> String {
    let name = match environment.get("HOSTNAME") {
        Some(name) => name.to_string_lossy().into_owned(),
        None => nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
    };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    name + pod_uid(&mounts).unwrap_or_default()
}

/// The uid of the pod in the paths of what kubelet mounts into every container, such as `/etc/hosts`.
fn pod_uid(mounts: &str) -> Option<&str> {
    let (_, rest) = mounts.split_once("/pods/")?;
    rest.get(..36).filter(|uid| {
        uid.bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_differ_and_each_stays_the_same() {
        let splay = Duration::from_secs(30);
        let shares: Vec<_> = (0..1000)
            .map(|pod| share(splay, &format!("app-{pod}")))
            .collect();
        assert_eq!(shares[7], share(splay, "app-7"));
        assert!(shares.iter().all(|share| *share <= splay));
        // A tenth of the time gets about a tenth of the pods.
        for tenth in 0..10 {
            let (from, to) = (splay / 10 * tenth, splay / 10 * (tenth + 1));
            let count = shares
                .iter()
                .filter(|share| (from..to).contains(share))
                .count();
            assert!((60..140).contains(&count), "{count}");
        }
        assert_eq!(share(Duration::ZERO, "app"), Duration::ZERO);
    }

    #[test]
    fn the_uid_is_in_the_mounts() {
        let mounts = "1 2 8:1 /var/lib/kubelet/pods/0a1b2c3d-0000-4000-8000-123456789abc/etc-hosts /etc/hosts rw";
        assert_eq!(
            pod_uid(mounts),
            Some("0a1b2c3d-0000-4000-8000-123456789abc")
        );
        assert_eq!(pod_uid("1 2 8:1 / / rw"), None);
        assert_eq!(pod_uid("/pods/short"), None);
    }
}
