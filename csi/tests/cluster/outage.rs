//! Vault frozen, sealed, denying or gone: one of a test's own each time, so nobody else is disturbed.

use std::thread::sleep;
use std::time::{Duration, Instant};

use envlatch_test_support::{Cluster, Namespace, Vault, eventually};
use serde_json::json;

use crate::bed::{SOON, bundle, cluster, shell, store_of, volume, warned};

/// A namespace with a Vault of its own, and a bundle of `password` from there.
pub(crate) fn namespace_with_vault(cluster: &'static Cluster, hint: &str) -> (Namespace, Vault) {
    let namespace = cluster.namespace(hint);
    let vault = cluster.new_vault();
    namespace.put(&vault, "db", &json!({"password": "hunter22"}));
    store_of(cluster, namespace.name(), &vault, &json!({}));
    let more = json!({"store": namespace.name(), "refresh": "10s"});
    bundle(&namespace, "app", &[("password", "db#password")], &more);
    (namespace, vault)
}

const READ: &str = "cat /mnt/secrets/password";

/// Waits for an event about the pod `app` that has this reason, which is the plugin's: kubelet quotes it under a reason of its own.
#[track_caller]
fn told(namespace: &Namespace, reason: &str) -> String {
    let begins = format!("{reason} app ");
    eventually(&format!("an event of {reason}"), SOON, || {
        let mut events = namespace.events().into_iter();
        events.find(|event| event.starts_with(&begins))
    })
}

#[test]
#[ignore = "needs the cluster"]
fn a_pod_waits_for_a_frozen_vault_and_starts_when_it_thaws() {
    let cluster = cluster();
    let (namespace, vault) = namespace_with_vault(cluster, "frozen");
    vault.freeze();
    let begin = Instant::now();
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        READ,
    );
    // Told by the plugin while kubelet's call is still held.
    let event = told(&namespace, "VaultUnreachable");
    let first = begin.elapsed();
    sleep(Duration::from_secs(30).saturating_sub(first));
    vault.thaw();
    let thawed = Instant::now();
    assert_eq!(pod.ended().code, 0);
    println!(
        "first event {:.1} s after the pod, which ran {:.1} s after the thaw: {event}",
        first.as_secs_f64(),
        thawed.elapsed().as_secs_f64()
    );
}

#[test]
#[ignore = "needs the cluster"]
fn a_sealed_vault_is_named_and_its_unsealing_is_enough() {
    let cluster = cluster();
    let (namespace, vault) = namespace_with_vault(cluster, "sealed");
    vault.seal();
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        READ,
    );
    told(&namespace, "VaultSealed");
    vault.unseal();
    assert_eq!(pod.ended().code, 0);
}

#[test]
#[ignore = "needs the cluster"]
fn a_denied_pod_starts_when_its_policy_is_mended() {
    let cluster = cluster();
    let (namespace, vault) = namespace_with_vault(cluster, "denied");
    vault.policy(
        namespace.name(),
        "path \"secret/data/other\" { capabilities = [\"read\"] }",
    );
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        READ,
    );
    warned(&namespace, "app", &["PermissionDenied", "/db"]);
    namespace.put(&vault, "db", &json!({"password": "hunter22"}));
    assert_eq!(pod.ended().code, 0);
}

/// Files stay while the server is away, so a container that ends can start again.
#[test]
#[ignore = "needs the cluster"]
fn a_container_restarts_while_vault_is_gone() {
    let cluster = cluster();
    let (namespace, vault) = namespace_with_vault(cluster, "gone");
    let pod = namespace.pod(
        "app",
        &json!({
            "restartPolicy": "Always",
            "containers": [{
                "name": "app",
                "image": crate::bed::SHELL,
                "command": ["sh", "-c", "cat /mnt/secrets/password && echo && sleep 15"],
                "volumeMounts": [{"name": "secrets", "mountPath": "/mnt/secrets", "readOnly": true}],
            }],
            "volumes": [volume("secrets", &json!({"bundle": "app"}))],
        }),
    );
    pod.runs();
    vault.stop();
    pod.until("has restarted", |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        (status["restartCount"].as_u64()? > 0 && !status["state"]["running"].is_null())
            .then_some(())
    });
    pod.says("hunter22");
    // The owner of the pod is told that its files are old.
    told(&namespace, "VaultUnreachable");
}
