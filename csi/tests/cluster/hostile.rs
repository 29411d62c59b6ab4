//! A container that is root in its pod and may write to its volume, against the process that refreshes it.

use envlatch_test_support::{Cluster, Namespace, Pod};
use serde_json::json;

use crate::bed::{SHELL, bundle, cluster, reader, refresh, shell, volume, volume_of};

/// A pod whose root container has a writable mount of a SecretsStoreImport, and runs `script`.
fn root_pod<'a>(namespace: &'a Namespace, name: &str, script: &str) -> Pod<'a> {
    let mut secrets = volume_of(
        "secrets-store.csi.deckhouse.io",
        "secrets",
        &json!({"secretsStoreImport": "app"}),
    );
    secrets["csi"]["readOnly"] = json!(false);
    namespace.pod(
        name,
        &json!({
            "securityContext": {"runAsUser": 0, "runAsNonRoot": false},
            "containers": [{
                "name": "app",
                "image": SHELL,
                "command": ["sh", "-c", script],
                "securityContext": {"runAsUser": 0},
                "volumeMounts": [{"name": "secrets", "mountPath": "/mnt/secrets"}],
            }],
            "volumes": [secrets],
        }),
    )
}

fn import(namespace: &Namespace) {
    let path = format!("secret/data/{}/db", namespace.name());
    namespace.apply(json!({
        "apiVersion": "deckhouse.io/v1alpha1",
        "kind": "SecretsStoreImport",
        "metadata": {"name": "app"},
        "spec": {
            "type": "CSI",
            "role": namespace.name(),
            "files": [{"name": "password", "decodeBase64": false, "source": {"path": path, "key": "password"}}],
        },
    }));
}

/// Kubelet's directory of a pod's volume, on the node and for the plugin.
fn directory(pod: &Pod<'_>) -> String {
    let uid = pod.uid();
    format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/secrets")
}

/// What is beside the volumes of `pods`, and all that is in the volume of `bystander`; a generation's name does not come again.
fn surroundings(cluster: &Cluster, pods: &[Pod<'_>], bystander: &Pod<'_>) -> String {
    let (bystander, beside) = (directory(bystander), pods.iter().map(directory));
    let beside: Vec<String> = beside.collect();
    let mut words = vec!["enter", "sh", "-c", r#"ls -AR "$0" && ls -A "$@""#];
    words.push(&bystander);
    words.extend(beside.iter().map(String::as_str));
    let listed = cluster.script(&words);
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8(listed.stdout).unwrap()
}

/// Whatever `..data` becomes, the next refresh makes the volume whole again and touches nothing else.
#[test]
#[ignore = "needs the cluster"]
fn a_swapped_link_leads_nowhere() {
    let cluster = cluster();
    let namespace = cluster.namespace("hostile");
    namespace.privileged();
    let put = |value: &str| namespace.put(cluster.vault(), "db", &json!({"password": value}));
    put("first");
    import(&namespace);
    namespace.put(cluster.vault(), "other", &json!({"password": "other"}));
    bundle(
        &namespace,
        "app",
        &[("password", "other#password")],
        &json!({}),
    );
    let bystander = reader(&namespace, "bystander");
    let other = format!("ln -sfn {}/mount ..data", directory(&bystander));
    let swaps: [(&str, &str); 6] = [
        ("root", "ln -sfn / ..data"),
        ("other", &other),
        ("parent", "ln -sfn .. ..data"),
        ("fifo", "rm ..data; mkfifo ..data"),
        ("file", "rm ..data; echo x >..data"),
        (
            "directory",
            "rm ..data; mkdir ..data; mkdir ..data/password",
        ),
    ];
    let pods: Vec<_> = swaps
        .iter()
        .map(|(name, swap)| {
            let script = format!(
                "cd /mnt/secrets || exit 1; {swap} || exit 2; echo swapped; \
                 until [ \"$(timeout 1 cat password 2>/dev/null)\" = second ]; do sleep 0.3; done; \
                 echo healed; exec sleep 3600"
            );
            root_pod(&namespace, name, &script)
        })
        .collect();
    for pod in &pods {
        pod.says("swapped");
    }
    let before = surroundings(cluster, &pods, &bystander);
    put("second");
    refresh(&namespace, "secretsstoreimport/app", "now");
    for pod in &pods {
        pod.says("healed");
    }
    // They still run: kubelet takes the volumes of pods that have ended away.
    assert_eq!(surroundings(cluster, &pods, &bystander), before);
}

/// A volume that is read-only stays so for root in the container.
#[test]
#[ignore = "needs the cluster"]
fn root_cannot_write_to_a_read_only_volume() {
    let cluster = cluster();
    let namespace = cluster.namespace("readonly");
    namespace.privileged();
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({}),
    );
    let script = "for action in 'rm ..data' 'touch new' 'mkdir d'; do \
        (cd /mnt/secrets && $action) 2>/dev/null && { echo \"$action\"; exit 1; }; done; echo refused";
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        script,
    );
    assert_eq!(
        pod.ended().code,
        0,
        "{}",
        String::from_utf8_lossy(&pod.log(""))
    );
}
