//! Upgrades of the plugin, restarts of kubelet, and pods that are earlier than the plugin.

use std::time::Duration;

use envlatch_test_support::eventually;
use serde_json::json;

use crate::bed::{bundle, cluster, install, mounts, plugin_pod, shell, volume, warned};

#[test]
#[ignore = "needs the cluster"]
fn an_upgrade_of_the_plugin_disturbs_no_pod() {
    let cluster = cluster();
    let namespace = cluster.namespace("upgrade");
    let put = |value: &str| namespace.put(cluster.vault(), "db", &json!({"password": value}));
    put("first");
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({"refresh": "10s"}),
    );
    let script = "echo started; while [ -s /mnt/secrets/password ]; do \
        [ \"$(cat /mnt/secrets/password)\" != second ] || exit 0; done; exit 1";
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        script,
    );
    pod.says("started");
    let before = plugin_pod(cluster);
    install(&["csi.podAnnotations.upgraded=once"]);
    eventually("another pod of the plugin", Duration::from_secs(60), || {
        (plugin_pod(cluster) != before).then_some(())
    });
    put("second");
    assert_eq!(
        pod.ended().code,
        0,
        "the file was there all the time, and is refreshed by the new plugin"
    );
    install(&[]);
}

#[test]
#[ignore = "needs the cluster"]
fn a_restart_of_kubelet_mounts_nothing_twice() {
    let cluster = cluster();
    let namespace = cluster.namespace("kubelet");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({"refresh": "24h"}),
    );
    let attributes = json!({"bundle": "app"});
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &attributes),
        "sleep 3600",
    );
    pod.runs();
    let before = mounts(cluster);
    cluster.kill("kubelet");
    let up = cluster.script(&["up"]);
    assert!(up.status.success(), "{up:?}");
    // kubelet has asked for all volumes again when it starts a new pod.
    let next = shell(
        &namespace,
        "next",
        volume("secrets", &attributes),
        "cat /mnt/secrets/password",
    );
    assert_eq!(next.ended().code, 0);
    next.delete(Duration::ZERO);
    eventually(
        "no more mounts than before",
        Duration::from_secs(60),
        || (mounts(cluster) == before).then_some(()),
    );
    let output = pod.exec(&["cat", "/mnt/secrets/password"]);
    assert_eq!(output.stdout, b"hunter22", "{output:?}");
}

#[test]
#[ignore = "needs the cluster"]
fn a_pod_that_is_earlier_than_the_plugin_waits_for_it() {
    let cluster = cluster();
    let namespace = cluster.namespace("early");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({}),
    );
    install(&["csi.nodeSelector.nowhere=true"]);
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        "cat /mnt/secrets/password",
    );
    warned(&namespace, "app", &["csi.envlatch.io", "registered"]);
    install(&[]);
    assert_eq!(pod.ended().code, 0);
}
