//! The plugin is replaced or away while pods run, and a pod is there before it.

use std::time::Duration;

use envlatch_test_support::eventually;
use serde_json::json;

use crate::bed::{
    DRIVER, bundle, cluster, install, mount_lines, plugin_pids, reader, shell, volume, warned,
};

/// A cluster without the plugin, until this is dropped.
struct Away;

// === impl Away ===

impl Away {
    fn new() -> Self {
        install(&["csi.nodeSelector.nowhere=yes"]);
        let cluster = cluster();
        eventually("the plugin to be gone", Duration::from_secs(120), || {
            plugin_pids(cluster).is_empty().then_some(())
        });
        Self
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        install(&[]);
    }
}

#[test]
#[ignore = "needs the cluster"]
fn an_upgrade_leaves_mounted_volumes_alone() {
    let cluster = cluster();
    let namespace = cluster.namespace("upgrade");
    let put = |value: &str| namespace.put(cluster.vault(), "db", &json!({"password": value}));
    put("hunter22");
    let more = json!({"refresh": "10s"});
    bundle(&namespace, "app", &[("password", "db#password")], &more);
    let pods = ["one", "two"].map(|name| reader(&namespace, name));
    let state = || {
        pods.each_ref().map(|pod| {
            let generation = pod.exec(&["readlink", "/mnt/secrets/..data"]);
            assert!(generation.status.success(), "{generation:?}");
            (mount_lines(cluster, pod), generation.stdout)
        })
    };
    let (before, processes) = (state(), plugin_pids(cluster));
    assert!(
        before.iter().all(|(lines, _)| lines.len() == 1),
        "{before:?}"
    );

    install(&[&format!("csi.podAnnotations.upgraded={}", namespace.name())]);
    let now = plugin_pids(cluster);
    assert!(
        !now.is_empty() && !now.iter().any(|pid| processes.contains(pid)),
        "other processes than {processes:?}: {now:?}"
    );
    // Longer than from one call of kubelet to the next, which is 3 to 4.5 s here.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(state(), before, "the same mounts and the same files");
    put("hunter33");
    for pod in &pods {
        pod.says("now hunter33");
        assert!(!pod.log("").windows(6).any(|part| part == b"broken"));
    }
    let mounts = |(lines, _): &(Vec<String>, Vec<u8>)| lines.clone();
    assert_eq!(
        state().each_ref().map(mounts),
        before.each_ref().map(mounts)
    );
}

#[test]
#[ignore = "needs the cluster"]
fn a_pod_that_is_there_before_the_plugin_comes_up_with_it() {
    let cluster = cluster();
    let namespace = cluster.namespace("before");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({}),
    );
    let running = reader(&namespace, "running");
    let leaving = reader(&namespace, "leaving");
    let away = Away::new();
    let attributes = json!({"bundle": "app"});
    let early = shell(
        &namespace,
        "early",
        volume("secrets", &attributes),
        "cat /mnt/secrets/password",
    );
    warned(&namespace, "early", &[DRIVER]);
    // What runs has its files, and what is to end waits for the plugin with its volume.
    let read = running.exec(&["cat", "/mnt/secrets/password"]);
    assert_eq!(read.stdout, b"hunter22", "{read:?}");
    leaving.delete(Duration::from_secs(1));
    drop(away);
    assert_eq!(early.ended().code, 0);
    assert_eq!(early.log(""), b"hunter22");
    leaving.is_gone();
}
