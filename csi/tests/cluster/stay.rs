//! The launcher that stays beside its program, with a volume of the plugin whose secret changes.

use envlatch_test_support::{Namespace, Pod};
use serde_json::{Value, json};

use crate::bed::{SHELL, bundle, cluster, refresh, volume};

const LAUNCHER: &str = "envlatch.test/launcher:dev";

/// A pod whose program says its variable `PASSWORD` and stays; beside it a container without the volume.
fn staying<'a>(namespace: &'a Namespace, on_change: &str) -> Pod<'a> {
    let launcher = json!({"name": "envlatch", "mountPath": "/opt/envlatch"});
    let container = |name: &str, command: &[&str], mounts: Value| json!({"name": name, "image": SHELL, "command": command, "volumeMounts": mounts});
    let script = "trap 'echo told' HUP; echo \"value $PASSWORD\"; while :; do sleep 0.1; done";
    let on_change = format!("--on-change={on_change}");
    let command = [
        "/opt/envlatch/envlatch",
        "run",
        "--dir=/mnt/secrets",
        "--names=upper",
        &on_change,
        "--splay=0s",
        "--",
        "sh",
        "-c",
        script,
    ];
    let secrets = json!({"name": "secrets", "mountPath": "/mnt/secrets", "readOnly": true});
    namespace.pod(
        "app",
        &json!({
            "containers": [
                container("app", &command, json!([launcher, secrets])),
                container("other", &["sleep", "3600"], json!([launcher])),
            ],
            "volumes": [
                {"name": "envlatch", "image": {"reference": LAUNCHER, "pullPolicy": "Never"}},
                volume("secrets", &json!({"bundle": "app"})),
            ],
        }),
    )
}

/// A namespace with the bundle `app`, whose password is `first` until somebody wants it refreshed.
fn with_a_password(hint: &str) -> Namespace {
    let namespace = cluster().namespace(hint);
    namespace.put(cluster().vault(), "db", &json!({"password": "first"}));
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({"refresh": "24h"}),
    );
    namespace
}

fn change(namespace: &Namespace, value: &str) {
    namespace.put(cluster().vault(), "db", &json!({"password": value}));
    refresh(namespace, "secretbundle/app", value);
}

#[test]
#[ignore = "needs the cluster"]
fn a_changed_secret_restarts_the_program_in_place() {
    let namespace = with_a_password("stay");
    let pod = staying(&namespace, "restart");
    pod.says("value first");
    change(&namespace, "second");
    pod.says("value second");
    // Kubelet may report the containers later than they write.
    let status = &pod.runs().object()["status"]["containerStatuses"];
    let restarts: Vec<_> = status
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["restartCount"].clone())
        .collect();
    assert_eq!(restarts, [0, 0], "the container goes on");
    let output = pod.exec(&[
        "/opt/envlatch/envlatch",
        "exec",
        "--",
        "sh",
        "-c",
        "echo $PASSWORD",
    ]);
    assert_eq!(output.stdout, b"second\n", "{output:?}");
}

#[test]
#[ignore = "needs the cluster"]
fn a_changed_secret_is_told_by_a_signal() {
    let namespace = with_a_password("signal");
    let pod = staying(&namespace, "signal:HUP");
    pod.says("value first");
    change(&namespace, "second");
    pod.says("told");
}
