//! A new value in Vault reaches the files of running pods, all of them at once.

use envlatch_test_support::{Namespace, Pod};
use serde_json::json;

use crate::bed::{bundle, cluster, refresh, shell, volume};

/// Reads two files that must always belong together, through one open directory each time, until both have the last value; says
/// how often it looked.
const READ: &str = "looks=0; while :; do \
    cd -P /mnt/secrets/..data && a=$(cat a) && b=$(cat b) || { [ -e /mnt/secrets/..data/a ] && continue; echo lost; exit 1; }; \
    looks=$((looks + 1)); \
    [ \"$a\" = \"$b\" ] || { echo \"mixed: $a $b\"; exit 1; }; \
    [ \"$a\" != last ] || { echo \"the same in $looks looks\"; exit 0; }; \
    done";

/// A pod that runs `READ` over two files of a secret that [`put`] writes.
fn reading<'a>(namespace: &'a Namespace, refresh: &str) -> Pod<'a> {
    put(namespace, "first");
    let entries = [("a", "pair#a"), ("b", "pair#b")];
    bundle(namespace, "app", &entries, &json!({"refresh": refresh}));
    let script = format!("echo started; {READ}");
    let volume = volume("secrets", &json!({"bundle": "app"}));
    let pod = shell(namespace, "app", volume, &script);
    pod.says("started");
    pod
}

fn put(namespace: &Namespace, value: &str) {
    let pair = json!({"a": value, "b": value});
    namespace.put(cluster().vault(), "pair", &pair);
}

#[test]
#[ignore = "needs the cluster"]
fn a_new_value_replaces_all_files_at_once() {
    let namespace = cluster().namespace("refresh");
    let pod = reading(&namespace, "10s");
    put(&namespace, "second");
    put(&namespace, "last");
    let ended = pod.ended();
    let log = String::from_utf8(pod.log("")).unwrap();
    assert_eq!(ended.code, 0, "{log}");
    assert!(log.contains("the same in"), "{log}");
}

/// What is asked for by hand does not wait for its time.
#[test]
#[ignore = "needs the cluster"]
fn an_annotation_refreshes_at_once() {
    let namespace = cluster().namespace("annotation");
    let pod = reading(&namespace, "24h");
    put(&namespace, "last");
    refresh(&namespace, "secretbundle/app", "now");
    assert_eq!(pod.ended().code, 0);
}

/// A change of the class is a change of the files.
#[test]
#[ignore = "needs the cluster"]
fn a_changed_bundle_changes_the_files_of_running_pods() {
    let cluster = cluster();
    let namespace = cluster.namespace("changed");
    namespace.put(
        cluster.vault(),
        "db",
        &json!({"user": "app", "password": "hunter22"}),
    );
    bundle(
        &namespace,
        "app",
        &[("user", "db#user")],
        &json!({"refresh": "24h"}),
    );
    let script = "echo started; until [ -e /mnt/secrets/password ]; do sleep 0.2; done; \
        [ ! -e /mnt/secrets/user ] && cat /mnt/secrets/password";
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        script,
    );
    pod.says("started");
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({"refresh": "24h"}),
    );
    assert_eq!(pod.ended().code, 0);
    assert_eq!(pod.log(""), b"started\nhunter22");
}
