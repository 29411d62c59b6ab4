//! The launcher that stays, as process 1 of a pod: kubelet starts it again, and ends it.

use std::time::{Duration, Instant};

use envlatch_test_support::{Cluster, Namespace, Pod};
use serde_json::json;

use crate::{ENVLATCH, SHELL, launcher_mount, launcher_volume, password_from_vault};

/// Longer than any test waits: what ends before was not killed by kubelet.
const GRACE: Duration = Duration::from_secs(600);

/// A pod that kubelet starts again, with a shell behind the launcher; it has `DB_PASSWORD` of Vault.
fn staying<'a>(namespace: &'a Namespace, options: &[&str], script: &str) -> Pod<'a> {
    let fixed = [ENVLATCH, "run", "--splay=0s", "--poll-interval=1s"];
    let command = [&fixed, options, &["--", "sh", "-c", script]].concat();
    namespace.pod(
        "app",
        &json!({
            "restartPolicy": "Always",
            "containers": [{
                "name": "app",
                "image": SHELL,
                "command": command,
                "env": password_from_vault(namespace),
                "volumeMounts": [launcher_mount()],
            }],
            "volumes": [launcher_volume()],
        }),
    )
}

fn put(namespace: &Namespace, password: &str) {
    let vault = Cluster::shared().vault();
    namespace.put(vault, "db", &json!({"password": password}));
}

#[test]
#[ignore = "needs the cluster"]
fn kubelet_starts_again_what_ended_for_a_change() {
    let namespace = Cluster::shared().namespace("restarted");
    put(&namespace, "hunter22");
    let script = "trap 'exit 0' TERM; echo \"value $DB_PASSWORD\"; while :; do sleep 0.1; done";
    let pod = staying(&namespace, &["--on-change=exit"], script);
    pod.says("value hunter22");
    put(&namespace, "hunter33");
    let ended = pod.ended();
    assert_eq!(ended.code, 75, "{ended:?}");
    assert!(ended.message.contains("values changed"), "{ended:?}");
    pod.says("value hunter33");
    pod.until("runs after one restart", |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        (status["restartCount"] == 1 && !status["state"]["running"].is_null()).then_some(())
    });
}

/// Without the launcher's own time such a pod lasts until kubelet kills it.
#[test]
#[ignore = "needs the cluster"]
fn a_program_that_ignores_sigterm_does_not_outlast_its_pod() {
    let namespace = Cluster::shared().namespace("ignores");
    put(&namespace, "hunter22");
    let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    let pod = staying(&namespace, &["--on-change=restart", "--grace=2s"], script);
    pod.says("ready");
    let asked = Instant::now();
    pod.delete(GRACE);
    pod.is_gone();
    let took = asked.elapsed();
    println!(
        "a pod that ignores SIGTERM is gone {} ms after its deletion",
        took.as_millis()
    );
    assert!(took >= Duration::from_secs(2), "it had its time: {took:?}");
}

/// Who has heard the signal is not killed when the launcher's time is over: how long draining may take is kubelet's to say.
#[test]
#[ignore = "needs the cluster"]
fn a_program_that_drains_has_kubelets_time() {
    let namespace = Cluster::shared().namespace("drains");
    put(&namespace, "hunter22");
    let script =
        "trap 'sleep 4; echo drained; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    let pod = staying(&namespace, &["--on-change=restart", "--grace=1s"], script);
    pod.says("ready");
    // As kubelet does, but so that the end can be looked at.
    assert!(pod.exec(&["kill", "-TERM", "1"]).status.success());
    let ended = pod.ended();
    assert_eq!(ended.code, 3, "{ended:?}");
}
