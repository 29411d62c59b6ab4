//! A container that is root in its pod and may write to its volume, against the process that refreshes it.

use envlatch_test_support::{Namespace, Pod};
use serde_json::json;

use crate::bed::{SHELL, bundle, cluster, refresh, shell, volume, volume_of};

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
    let swaps: [(&str, &str); 5] = [
        ("root", "ln -sfn / ..data"),
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
                 ls -A / | grep -c '^\\.\\.' && exit 3; echo healed"
            );
            root_pod(&namespace, name, &script)
        })
        .collect();
    for pod in &pods {
        pod.says("swapped");
    }
    put("second");
    refresh(&namespace, "secretsstoreimport/app", "now");
    for (pod, (name, _)) in pods.iter().zip(swaps) {
        let ended = pod.ended();
        assert_eq!(
            ended.code,
            0,
            "{name}: {}",
            String::from_utf8_lossy(&pod.log(""))
        );
    }
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
