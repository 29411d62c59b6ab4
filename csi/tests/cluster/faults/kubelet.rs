//! kubelet ends and is started again: what it finds mounted is left as it is, and what was to be unmounted is.

use std::time::Duration;

use envlatch_test_support::{Cluster, eventually};
use serde_json::json;

use crate::bed::{bundle, cluster, mount_lines, reader, shell, volume};

/// Kills kubelet and starts it again; `meanwhile` is done while it is away.
fn restart_kubelet(cluster: &Cluster, meanwhile: impl FnOnce()) {
    cluster.kill("kubelet");
    meanwhile();
    let up = cluster.script(&["up"]);
    assert!(up.status.success(), "{up:?}");
}

#[test]
#[ignore = "needs the cluster"]
fn a_restarted_kubelet_finds_its_mounts_and_goes_on_refreshing() {
    let cluster = cluster();
    let namespace = cluster.namespace("kubelet");
    let put = |value: &str| namespace.put(cluster.vault(), "db", &json!({"password": value}));
    put("hunter22");
    let more = json!({"refresh": "10s"});
    bundle(&namespace, "app", &[("password", "db#password")], &more);
    let lasting = reader(&namespace, "lasting");
    let leaving = reader(&namespace, "leaving");
    let (before, left) = (mount_lines(cluster, &lasting), leaving.uid());
    assert_eq!(before.len(), 1, "{before:?}");

    // Forced, because nobody is there to confirm it.
    restart_kubelet(cluster, || leaving.delete(Duration::ZERO));
    put("hunter33");
    lasting.says("now hunter33");
    assert_eq!(
        mount_lines(cluster, &lasting),
        before,
        "the same mount, once"
    );
    let attributes = json!({"bundle": "app"});
    let next = shell(
        &namespace,
        "next",
        volume("secrets", &attributes),
        "cat /mnt/secrets/password",
    );
    assert_eq!(next.ended().code, 0);
    eventually(
        "the volume of the pod that has left to be gone",
        Duration::from_secs(120),
        || {
            let mounts = crate::bed::mounts(cluster);
            (!mounts.iter().any(|target| target.contains(&left))).then_some(())
        },
    );
    assert!(!lasting.log("").windows(6).any(|part| part == b"broken"));
}
