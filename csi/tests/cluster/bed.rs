//! The plugin installed once for all tests of this process, and pods with its volumes.

use std::sync::OnceLock;
use std::time::Duration;

use envlatch_test_support::{Cluster, Namespace, Pod, Vault, chart, eventually, helm, pids_of};
use serde_json::{Value, json};

/// Images of `scripts/images`.
pub(crate) const APP_WITH_LAUNCHER: &str = "envlatch.test/app-with-launcher:dev";
pub(crate) const SHELL: &str = "envlatch.test/shell:dev";

/// Our driver's name.
pub(crate) const DRIVER: &str = "csi.envlatch.io";

/// The VaultStore of the shared Vault.
pub(crate) const STORE: &str = "shared";

/// The cluster with the plugin in it and a store for the shared Vault that lets every namespace use every role.
pub(crate) fn cluster() -> &'static Cluster {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared();
    READY.get_or_init(|| {
        install(&[]);
        store(cluster, STORE, &json!({"default": true}));
    });
    cluster
}

/// Installs or upgrades the chart with the plugin, and waits until it is ready.
pub(crate) fn install(values: &[&str]) {
    let cluster = Cluster::shared();
    cluster.apply(&json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "envlatch-system",
            "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
        },
    }));
    let crds = cluster.kubectl(&[
        "apply",
        "--server-side",
        "--filename",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/crds-compat.yaml"),
    ]);
    assert!(crds.status.success(), "{crds:?}");
    let chart = chart();
    let fixed = [
        "image.registry=envlatch.test",
        "image.tag=dev",
        "image.pullPolicy=Never",
        "csi.enabled=true",
        "csi.image=csi",
        "csi.podStatus=true",
        "csi.logLevel=trace",
        "csi.tokenAudiences={vault,somebody-else}",
        "csi.driverNames={csi.envlatch.io,secrets-store.csi.k8s.io,secrets-store.csi.deckhouse.io}",
    ];
    let set = |value: &&str| format!("--set={value}");
    let values: Vec<String> = fixed.iter().chain(values).map(set).collect();
    let mut words = vec![
        "upgrade",
        "--install",
        "envlatch",
        chart.to_str().unwrap(),
        "--namespace=envlatch-system",
        "--wait",
        "--timeout=120s",
    ];
    words.extend(values.iter().map(String::as_str));
    let installed = helm(&words);
    assert!(installed.status.success(), "{installed:?}");
    // Of a set with one pod that may be unavailable, Helm waits for none.
    let rolled_out = cluster.kubectl(&[
        "rollout",
        "status",
        "--namespace=envlatch-system",
        "daemonset/envlatch-csi",
        "--timeout=120s",
    ]);
    assert!(rolled_out.status.success(), "{rolled_out:?}");
}

/// A VaultStore for the shared Vault with `more` in its spec.
pub(crate) fn store(cluster: &Cluster, name: &str, more: &Value) {
    store_of(cluster, name, cluster.vault(), more);
}

/// A VaultStore for a Vault with `more` in its spec.
pub(crate) fn store_of(cluster: &Cluster, name: &str, vault: &Vault, more: &Value) {
    let mut spec = json!({
        "addresses": [vault.address()],
        "tls": {"ca": vault.ca_pem()},
        "grants": [{"namespaces": ["*"], "roles": ["*"]}],
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    cluster.apply(&json!({
        "apiVersion": "envlatch.io/v1alpha1",
        "kind": "VaultStore",
        "metadata": {"name": name},
        "spec": spec,
    }));
}

/// A SecretBundle in the role that has the namespace's name. `entries` are pairs of a file and `PATH#KEY` below the namespace's
/// part of `secret/`.
pub(crate) fn bundle(namespace: &Namespace, name: &str, entries: &[(&str, &str)], more: &Value) {
    let entries: Vec<Value> = entries
        .iter()
        .map(|(file, reference)| {
            let (path, key) = reference.split_once('#').unwrap();
            let path = format!("secret/data/{}/{path}", namespace.name());
            json!({"name": file, "path": path, "key": key})
        })
        .collect();
    let mut spec = json!({"store": STORE, "role": namespace.name(), "entries": entries});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    namespace.apply(json!({
        "apiVersion": "envlatch.io/v1alpha1",
        "kind": "SecretBundle",
        "metadata": {"name": name},
        "spec": spec,
    }));
}

/// A volume of our driver with these attributes.
pub(crate) fn volume(name: &str, attributes: &Value) -> Value {
    volume_of(DRIVER, name, attributes)
}

pub(crate) fn volume_of(driver: &str, name: &str, attributes: &Value) -> Value {
    json!({"name": name, "csi": {"driver": driver, "readOnly": true, "volumeAttributes": attributes}})
}

/// A pod with one volume at `/mnt/secrets` whose shell runs `script`.
pub(crate) fn shell<'a>(
    namespace: &'a Namespace,
    name: &str,
    volume: Value,
    script: &str,
) -> Pod<'a> {
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

/// A pod with the bundle `app` that says its `password`, whenever there is another one, and `broken` when there is none.
pub(crate) fn reader<'a>(namespace: &'a Namespace, name: &str) -> Pod<'a> {
    // A generation that is replaced between the steps of one look is gone for it, so a look is repeated once.
    let script = "look() { now=$(cat /mnt/secrets/password) && [ -n \"$now\" ]; }; while :; do \
        look || look || echo broken; \
        [ \"$now\" = \"$last\" ] || { echo \"now $now\"; last=$now; }; \
        sleep 0.1; done";
    let pod = shell(
        namespace,
        name,
        volume("secrets", &json!({"bundle": "app"})),
        script,
    );
    pod.says("now ");
    pod
}

/// The name of the plugin's pod.
pub(crate) fn plugin_pod(cluster: &Cluster) -> String {
    let path =
        "/api/v1/namespaces/envlatch-system/pods?labelSelector=app.kubernetes.io/component=csi";
    let pods = cluster.request("GET", path, &Value::Null);
    pods["items"][0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// What the plugin has logged.
pub(crate) fn plugin_log(cluster: &Cluster) -> Vec<u8> {
    let pod = plugin_pod(cluster);
    let output = cluster.kubectl(&["logs", "--namespace=envlatch-system", &pod]);
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// What the plugin's metrics say.
pub(crate) fn plugin_metrics(cluster: &Cluster) -> String {
    let path = format!(
        "/api/v1/namespaces/envlatch-system/pods/{}:9896/proxy/metrics",
        plugin_pod(cluster)
    );
    let (status, text) = cluster.try_request("GET", &path, &Value::Null);
    assert_eq!(status, 200, "{text}");
    text.as_str().unwrap().to_owned()
}

/// Waits for an event of `FailedMount` about this pod that has all these texts, and returns its message.
#[track_caller]
pub(crate) fn warned(namespace: &Namespace, pod: &str, texts: &[&str]) -> String {
    let what = format!("an event about {pod} that says {texts:?}");
    eventually(&what, Duration::from_secs(90), || {
        let begins = format!("FailedMount {pod} ");
        let told = |event: &String| {
            event.starts_with(&begins) && texts.iter().all(|text| event.contains(text))
        };
        namespace.events().into_iter().find(told)
    })
}

/// The process ids of the plugin of this cluster.
pub(crate) fn plugin_pids(cluster: &Cluster) -> Vec<i32> {
    let found = std::process::Command::new("pgrep")
        .args(["--full", "^/envlatch-csi"])
        .output()
        .unwrap();
    let group = format!("/envlatch-{}/", cluster.name());
    let ours = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
            .is_ok_and(|groups| groups.contains(&group))
    };
    pids_of(&found).into_iter().filter(ours).collect()
}

/// Where volumes of CSI drivers are mounted on the node, sorted; a target occurs once for each mount on it.
pub(crate) fn mounts(cluster: &Cluster) -> Vec<String> {
    let mut targets: Vec<String> = mount_table(cluster)
        .iter()
        .filter_map(|line| line.split(' ').nth(4))
        .map(str::to_owned)
        .collect();
    targets.sort();
    targets
}

/// What the node's mount table says of a pod's volumes of CSI drivers. A mount has a number that no later one gets while it is there.
pub(crate) fn mount_lines(cluster: &Cluster, pod: &Pod<'_>) -> Vec<String> {
    let uid = pod.uid();
    let mut lines = mount_table(cluster);
    lines.retain(|line| line.contains(&uid));
    lines
}

fn mount_table(cluster: &Cluster) -> Vec<String> {
    let table = cluster.script(&["enter", "cat", "/proc/self/mountinfo"]);
    let text = String::from_utf8(table.stdout).unwrap();
    let volumes = text
        .lines()
        .filter(|line| line.contains("kubernetes.io~csi"));
    volumes.map(str::to_owned).collect()
}
