//! Restarts of workloads: once for a content, and never for the same content.

use std::thread::sleep;
use std::time::Duration;

use envlatch_test_support::eventually;
use serde_json::{Value, json};

use crate::bed::{BUNDLES, Bed, SOON};

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/team/deployments/web";

pub(crate) fn workload(bed: &Bed, kind: &str, plural: &str) {
    let mut spec = json!({
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "none"}]}},
    });
    if kind == "StatefulSet" {
        spec["serviceName"] = json!("web");
    }
    let object =
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec});
    bed.kubernetes.api(
        "POST",
        &format!("/apis/apps/v1/namespaces/team/{plural}"),
        &object,
    );
}

pub(crate) fn stamps(bed: &Bed, plural: &str) -> Value {
    let found = bed.kubernetes.api(
        "GET",
        &format!("/apis/apps/v1/namespaces/team/{plural}/web"),
        &Value::Null,
    );
    found["spec"]["template"]["metadata"]["annotations"].clone()
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_changed_content_restarts_each_target_once() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let kinds = [
        ("Deployment", "deployments"),
        ("StatefulSet", "statefulsets"),
        ("DaemonSet", "daemonsets"),
    ];
    let mut targets: Vec<Value> = kinds
        .iter()
        .map(|(kind, _)| json!({"kind": kind, "name": "web"}))
        .collect();
    targets.push(json!({"kind": "Deployment", "name": "missing"}));
    for (kind, plural) in kinds {
        workload(&bed, kind, plural);
    }
    let operator = bed.operator("a");
    bed.sync("app", "app", &json!({}), &json!({"restart": targets}));
    bed.until("app", "Synced");
    let change = |value: &str| {
        bed.vault.put_kv2("app", &json!({"key": value}));
        bed.patch(
            &format!("{BUNDLES}/app"),
            &json!({"metadata": {"annotations": {"envlatch.io/refresh-at": value}}}),
        );
        bed.until_content("app", &json!({"key": value}));
    };
    // The first content restarts nobody.
    sleep(Duration::from_secs(8));
    assert_eq!(stamps(&bed, "deployments"), Value::Null);

    // What is changed while a target is paused is not lost.
    bed.patch(DEPLOYMENT, &json!({"spec": {"paused": true}}));
    change("two");
    for plural in ["statefulsets", "daemonsets"] {
        eventually("the restart", SOON, || {
            stamps(&bed, plural).is_object().then_some(())
        });
    }
    assert_eq!(stamps(&bed, "deployments"), Value::Null);
    eventually("the events", SOON, || {
        let events = bed.events("app");
        let told = |reason: &str| events.iter().any(|one| one == reason);
        (told("Restarted") && told("RestartWaits") && told("RestartFailed")).then_some(())
    });
    bed.patch(DEPLOYMENT, &json!({"spec": {"paused": null}}));
    eventually("the restart", SOON, || {
        stamps(&bed, "deployments").is_object().then_some(())
    });

    // The next change has to wait, and a restart of the operator restarts nobody.
    let before = stamps(&bed, "statefulsets");
    change("three");
    operator.kill();
    let _operator = bed.operator("a");
    bed.until("app", "Synced");
    sleep(Duration::from_secs(8));
    assert_eq!(stamps(&bed, "statefulsets"), before);
}
