//! A volume that the Secrets Store CSI Driver mounted under the name that is now ours: its pod keeps it as it is for as long as it lives.

use std::time::Duration;

use envlatch_test_support::eventually;
use serde_json::json;

use crate::bed::{
    SHELL, SOON, class, cluster, mount_lines, mounts, plugin_metrics, volume_of_class,
};

/// What that driver leaves: a tmpfs with the files of a generation of Kubernetes' `AtomicWriter`, and links to them. Nothing else stays
/// mounted there.
const AS_THEY_MOUNT: &str = "while umount \"$0\" 2>/dev/null; do :; done; mount -t tmpfs tmpfs \"$0\" && cd \"$0\" \
    && mkdir ..2026_11_25 \
    && printf theirs >..2026_11_25/password && ln -s ..2026_11_25 ..data && ln -s ..data/password password";

#[test]
#[ignore = "needs the cluster"]
fn what_the_driver_before_us_mounted_is_left_alone_and_unmounted() {
    let cluster = cluster();
    let namespace = cluster.namespace("takeover");
    let name = namespace.name().to_owned();
    namespace.put(cluster.vault(), "db", &json!({"password": "ours"}));
    let object =
        format!("objectName: password, secretPath: secret/data/{name}/db, secretKey: password");
    class(&namespace, &format!("- {{{object}}}"));
    let pod = namespace.pod(
        "app",
        &json!({
            "restartPolicy": "Always",
            "containers": [{
                "name": "app",
                "image": SHELL,
                "command": ["sh", "-c", "rm -f /tmp/end; echo \"reads $(cat /mnt/secrets/password)\"; until [ -e /tmp/end ]; do sleep 0.2; done"],
                "volumeMounts": [
                    {"name": "secrets", "mountPath": "/mnt/secrets", "readOnly": true},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
            }],
            "volumes": [
                volume_of_class(),
                {"name": "tmp", "emptyDir": {}},
            ],
        }),
    );
    pod.says("reads ours");
    let target = format!(
        "/var/lib/kubelet/pods/{}/volumes/kubernetes.io~csi/secrets/mount",
        pod.uid()
    );
    // When kubelet calls between the two steps, ours is mounted as well.
    let theirs = eventually("theirs is the only mount", SOON, || {
        let done = cluster.script(&["enter", "sh", "-c", AS_THEY_MOUNT, &target]);
        let lines = mount_lines(cluster, &pod);
        let is_theirs = lines.len() == 1 && lines[0].contains(" - tmpfs tmpfs ");
        (done.status.success() && is_theirs).then_some(lines)
    });

    // Kubelet asks for the volume again when it looks after the pod: now, and when a container has ended.
    let republished = foreign_republishes();
    let annotated = cluster.kubectl(&["annotate", "pod", "app", "--namespace", &name, "look=now"]);
    assert!(annotated.status.success(), "{annotated:?}");
    eventually("a republish", Duration::from_secs(150), || {
        (foreign_republishes() > republished).then_some(())
    });
    let ended = pod.exec(&["touch", "/tmp/end"]);
    assert!(ended.status.success(), "{ended:?}");
    pod.says("reads theirs");
    assert_eq!(mount_lines(cluster, &pod), theirs, "the same mount");

    pod.delete(Duration::from_secs(1));
    pod.is_gone();
    assert!(!mounts(cluster).contains(&target));
}

fn foreign_republishes() -> u64 {
    let text = plugin_metrics(cluster());
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("envlatch_csi_foreign_republishes_total "));
    value.unwrap().parse().unwrap()
}
