//! The node plugin in the cluster, installed from its chart, and what pods with its volumes are made of.

use std::process::Command;

use serde_json::{Value, json};

use crate::{Cluster, Namespace, Pod, chart, helm, pids_of};

/// An image of `scripts/images` with a shell.
pub const SHELL: &str = "envlatch.test/shell:dev";

/// Our driver's name.
pub const DRIVER: &str = "csi.envlatch.io";

const NAMESPACE: &str = "envlatch-system";

/// Installs or upgrades the chart with the plugin as users get it but for these values, and waits until it is ready.
#[track_caller]
pub fn install(cluster: &Cluster, values: &[&str]) {
    cluster.apply(&json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
        },
    }));
    let fixed = [
        "image.registry=envlatch.test",
        "image.tag=dev",
        "image.pullPolicy=Never",
        "csi.enabled=true",
        "csi.image=csi",
    ];
    let set = |value: &&str| format!("--set={value}");
    let values: Vec<String> = fixed.iter().chain(values).map(set).collect();
    let chart = chart();
    let mut words = vec![
        "upgrade",
        "--install",
        "envlatch",
        chart.to_str().expect("the path is text"),
        "--namespace",
        NAMESPACE,
        "--wait",
        "--timeout=120s",
        // Whoever came first has brought the CRDs.
        "--take-ownership",
    ];
    words.extend(values.iter().map(String::as_str));
    let installed = helm(&words);
    assert!(installed.status.success(), "{installed:?}");
    // Of a set with one pod that may be unavailable, Helm waits for none.
    rollout(cluster, &["status", "--timeout=120s"]);
}

/// Replaces the plugin's pod, and waits until the new one is ready.
#[track_caller]
pub fn restart(cluster: &Cluster) {
    rollout(cluster, &["restart"]);
    rollout(cluster, &["status", "--timeout=120s"]);
}

#[track_caller]
fn rollout(cluster: &Cluster, words: &[&str]) {
    let set = ["daemonset/envlatch-csi", "--namespace", NAMESPACE];
    let output = cluster.kubectl(&[&["rollout"], words, &set].concat());
    assert!(output.status.success(), "{output:?}");
}

/// A SecretBundle in the role that has the namespace's name. `entries` are pairs of a file and `PATH#KEY` below the namespace's
/// part of `secret/`. Unless `more` names a store, it is the default one.
#[track_caller]
pub fn bundle(namespace: &Namespace, name: &str, entries: &[(&str, &str)], more: &Value) {
    let entry = |(file, reference): &(&str, &str)| {
        let (path, key) = reference.split_once('#').expect("PATH#KEY");
        let path = format!("secret/data/{}/{path}", namespace.name());
        json!({"name": file, "path": path, "key": key})
    };
    let entries: Vec<Value> = entries.iter().map(entry).collect();
    let spec = json!({"role": namespace.name(), "entries": entries});
    namespace.apply(json!({
        "apiVersion": "envlatch.io/v1alpha1",
        "kind": "SecretBundle",
        "metadata": {"name": name},
        "spec": with(spec, more),
    }));
}

fn with(mut spec: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

/// Has what was made of a class (`secretbundle/app`) refreshed at once. `mark` is something that it was not marked with before.
#[track_caller]
pub fn refresh(namespace: &Namespace, class: &str, mark: &str) {
    let annotated = Cluster::shared().kubectl(&[
        "annotate",
        "--overwrite",
        "--namespace",
        namespace.name(),
        class,
        &format!("envlatch.io/refresh-at={mark}"),
    ]);
    assert!(annotated.status.success(), "{annotated:?}");
}

/// A volume of a driver with these attributes.
#[must_use]
pub fn volume_of(driver: &str, name: &str, attributes: &Value) -> Value {
    json!({"name": name, "csi": {"driver": driver, "readOnly": true, "volumeAttributes": attributes}})
}

/// A pod with one volume at `/mnt/secrets` whose shell runs `script`.
#[track_caller]
pub fn shell<'a>(namespace: &'a Namespace, name: &str, volume: Value, script: &str) -> Pod<'a> {
    let mount = json!({"name": volume["name"], "mountPath": "/mnt/secrets", "readOnly": true});
    namespace.pod(
        name,
        &json!({
            "containers": [{
                "name": "app",
                "image": SHELL,
                "command": ["sh", "-c", script],
                "volumeMounts": [mount],
            }],
            "volumes": [volume],
        }),
    )
}

/// The name of the plugin's pod.
#[track_caller]
#[must_use]
pub fn pod_name(cluster: &Cluster) -> String {
    let path = format!(
        "/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io/component=csi"
    );
    let pods = cluster.request("GET", &path, &Value::Null);
    let name = pods["items"][0]["metadata"]["name"].as_str();
    name.expect("the plugin has a pod").to_owned()
}

/// What the plugin has logged.
#[track_caller]
#[must_use]
pub fn log(cluster: &Cluster) -> Vec<u8> {
    let output = cluster.kubectl(&["logs", "--namespace", NAMESPACE, &pod_name(cluster)]);
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// What the plugin's metrics say.
#[track_caller]
#[must_use]
pub fn metrics(cluster: &Cluster) -> String {
    let pod = pod_name(cluster);
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9896/proxy/metrics");
    let (status, text) = cluster.try_request("GET", &path, &Value::Null);
    assert_eq!(status, 200, "{text}");
    text.as_str().expect("metrics are text").to_owned()
}

/// The process ids of the plugin of this cluster.
#[must_use]
pub fn pids(cluster: &Cluster) -> Vec<i32> {
    let found = Command::new("pgrep")
        .args(["--full", "^/envlatch-csi"])
        .output()
        .expect("pgrep is there, because scripts/cluster needs it");
    let group = format!("/envlatch-{}/", cluster.name());
    let ours = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
            .is_ok_and(|groups| groups.contains(&group))
    };
    pids_of(&found).into_iter().filter(ours).collect()
}
