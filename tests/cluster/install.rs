//! The launcher in front of an image that does not contain it: an init container copies it into a volume.

use envlatch_test_support::Cluster;
use serde_json::{Value, json};

use crate::{APP, LAUNCHER, password_from_vault};

/// What the container that copies may use, in MiB. CRI-O refuses to start a container with less than 12.
const LIMIT_MIB: u64 = 16;

/// A pod of `examples/initcontainer.yaml`: `copy` installs, then `containers` run with the volume at `/opt/envlatch`.
fn pod_with_copy(volume: &Value, inits: &[Value], container: Value) -> Value {
    let mount = |read_only| json!([{"name": "envlatch", "mountPath": "/opt/envlatch", "readOnly": read_only}]);
    let mut containers = vec![json!({
        "name": "copy",
        "image": LAUNCHER,
        "args": ["install", "/opt/envlatch/envlatch"],
        "resources": {"limits": {"memory": format!("{LIMIT_MIB}Mi")}},
        "volumeMounts": mount(false),
    })];
    containers.extend_from_slice(inits);
    let mut container = container;
    container["volumeMounts"] = mount(true);
    json!({
        "initContainers": containers,
        "containers": [container],
        "volumes": [{"name": "envlatch", "emptyDir": volume}],
    })
}

#[test]
#[ignore = "needs the cluster"]
fn a_copied_launcher_starts_an_image_that_does_not_contain_it() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("install");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    let container = json!({
        "name": "app",
        "image": APP,
        "command": ["/opt/envlatch/envlatch", "run", "--"],
        "args": ["/app", "report"],
        "env": password_from_vault(&namespace),
    });
    let spec = pod_with_copy(&json!({"sizeLimit": "16Mi"}), &[], container);
    let pod = namespace.pod("app", &spec);
    let ended = pod.ended();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(pod.report().env("DB_PASSWORD").unwrap(), "hunter22");
}

/// On disk, where the kernel can write pages back, and in memory, where it cannot. The copy is repeated, as it is when a node restarts
/// a pod's init containers.
#[test]
#[ignore = "needs the cluster"]
fn copying_fits_in_16_mib() {
    let cluster = Cluster::shared();
    for (medium, volume) in [("disk", json!({})), ("memory", json!({"medium": "Memory"}))] {
        let namespace = cluster.namespace("copy");
        let again = json!({
            "name": "copy-again",
            "image": LAUNCHER,
            "args": ["install", "/opt/envlatch/envlatch"],
            "resources": {"limits": {"memory": format!("{LIMIT_MIB}Mi")}},
            "volumeMounts": [{"name": "envlatch", "mountPath": "/opt/envlatch"}],
        });
        // Static and of 800 KB: what it needs itself does not matter.
        let container = json!({"name": "app", "image": APP, "args": ["sleep", "600000"]});
        let pod = namespace.pod("app", &pod_with_copy(&volume, &[again], container));
        pod.runs();
        let peak = pod.peak_memory();
        println!(
            "peak memory of a pod that copies the launcher to {medium}: {} KiB of {} KiB",
            peak / 1024,
            LIMIT_MIB * 1024
        );
        assert!(peak > 0 && peak <= LIMIT_MIB << 20);
    }
}

/// The example in the repository, with the names of this test instead of a reader's.
#[test]
#[ignore = "needs the cluster"]
fn the_example_of_an_init_container_works() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("example");
    let (name, vault) = (namespace.name(), cluster.vault());
    namespace.put(vault, "app", &json!({"password": "hunter22"}));
    namespace.apply(json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app"},
    }));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/initcontainer.yaml");
    let mut manifest = std::fs::read_to_string(path).unwrap();
    let ca = format!(
        "value: {}\n        - name: VAULT_CACERT_BYTES\n          value: {}",
        vault.address(),
        Value::from(vault.ca_pem())
    );
    for (from, to) in [
        ("registry.example.com/envlatch:0.1.0", LAUNCHER),
        ("registry.example.com/app:1.0.0", APP),
        (
            "\"/usr/local/bin/app\", \"--port\", \"8080\"",
            "\"/app\", \"report\", \"print\", \"\", \"sleep\", \"600000\"",
        ),
        ("value: https://vault.example.com:8200", &ca),
        ("value: app", &format!("value: {name}")),
        ("secret/data/app", &format!("secret/data/{name}/app")),
    ] {
        assert!(manifest.contains(from), "the example has no {from}");
        manifest = manifest.replacen(from, to, 1);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pod.yaml");
    std::fs::write(&file, manifest).unwrap();
    let applied = cluster.kubectl(&[
        "apply",
        "--namespace",
        name,
        "--filename",
        file.to_str().unwrap(),
    ]);
    assert!(applied.status.success(), "{applied:?}");
    let report = namespace.existing_pod("app").report();
    assert_eq!(report.env("DB_PASSWORD").unwrap(), "hunter22");
}
