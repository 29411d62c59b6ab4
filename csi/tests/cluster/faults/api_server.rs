//! An API server that hangs. kubelet goes on with the pods it knows, and so must the plugin.

use std::thread::sleep;
use std::time::Duration;

use envlatch_test_support::{Cluster, eventually};
use serde_json::json;

use crate::bed::{bundle, cluster, kill_plugin, shell, volume, warned};
use crate::outage::namespace_with_vault;

const PATIENCE: Duration = Duration::from_secs(120);
/// For a plugin that was killed to be started again.
const A_WHILE: Duration = Duration::from_secs(5);

/// The API server, stopped until this is dropped.
struct Hanging(&'static Cluster);

impl Hanging {
    fn new(cluster: &'static Cluster) -> Self {
        cluster.freeze("kube-apiserver");
        Self(cluster)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.thaw("kube-apiserver");
    }
}

/// What a pod reads in its volume, looked up on the node, because nobody can be asked.
fn on_the_node(cluster: &Cluster, uid: &str) -> Option<Vec<u8>> {
    let file =
        format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/secrets/mount/password");
    let output = cluster.script(&["enter", "cat", &file]);
    output.status.success().then_some(output.stdout)
}

#[track_caller]
fn until_it_reads(cluster: &Cluster, uid: &str, value: &str) {
    let what = format!("the volume of pod {uid} has {value:?}");
    eventually(&what, PATIENCE, || {
        (on_the_node(cluster, uid)? == value.as_bytes()).then_some(())
    });
}

#[test]
#[ignore = "needs the cluster"]
fn what_kubelet_has_asked_for_goes_on_without_the_api_server() {
    let cluster = cluster();
    let (namespace, vault) = namespace_with_vault(cluster, "headless");
    let pod = |name: &str, class: &str| {
        let volume = volume("secrets", &json!({"bundle": class}));
        shell(&namespace, name, volume, "sleep 3600")
    };
    let put = |path: &str, value: &str| namespace.put(&vault, path, &json!({"password": value}));
    put("later", "later");
    let more = json!({"store": namespace.name(), "refresh": "10s"});
    bundle(
        &namespace,
        "later",
        &[("password", "later#password")],
        &more,
    );
    let mounted = pod("mounted", "app");
    mounted.runs();
    // A pod of the same account, so a login is there; and of another path, so no reply is shared.
    vault.freeze();
    let waiting = pod("waiting", "later");
    eventually("the plugin holds the call of kubelet", PATIENCE, || {
        let held = |event: &String| event.starts_with("Vault") && event.contains(" waiting ");
        namespace.events().into_iter().find(held)
    });
    let unseen = pod("unseen", "absent");
    warned(&namespace, "unseen", &["ClassNotFound"]);
    let (mounted_uid, unseen_uid, waiting_uid) = (mounted.uid(), unseen.uid(), waiting.uid());

    let hanging = Hanging::new(cluster);
    vault.thaw();
    until_it_reads(cluster, &waiting_uid, "later");
    put("db", "second");
    until_it_reads(cluster, &mounted_uid, "second");
    eventually("kubelet hears why the third pod waits", PATIENCE, || {
        let told = |line: &&str| {
            let text = "code = Unavailable desc = ClassUnread";
            line.contains(&unseen_uid) && line.contains(text)
        };
        let log = cluster.log("kubelet");
        let line = log.lines().find(told)?;
        assert!(line.contains("was never seen on this node"), "{line}");
        Some(())
    });
    kill_plugin(cluster);
    put("db", "third");
    sleep(A_WHILE);
    assert_eq!(
        on_the_node(cluster, &mounted_uid).as_deref(),
        Some(&b"second"[..])
    );

    // kubelet registers a plugin that was restarted by writing to the API server, and calls it then.
    drop(hanging);
    until_it_reads(cluster, &mounted_uid, "third");
    waiting.runs();
}
