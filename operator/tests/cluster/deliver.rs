//! From Vault to a pod by way of a Kubernetes Secret.

use std::thread::sleep;

use envlatch_test_support::{Namespace, eventually, restricted};
use serde_json::{Value, json};

use crate::bed::{
    Operator, QUIET, SHELL, SOON, bundle, cluster, content, delete, get, team, until, until_content,
};

/// A Deployment whose pod prints the password that it was started with.
fn deploy(namespace: &Namespace, name: &str) {
    let spec = restricted(&json!({
        "restartPolicy": "Always",
        "containers": [{
            "name": "app",
            "image": SHELL,
            "command": ["sh", "-c", "echo \"started with $PASSWORD\"; sleep 600"],
            "env": [{
                "name": "PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": "app", "key": "password"}},
            }],
        }],
    }));
    namespace.apply(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }));
}

/// How often the Deployment was rolled, from 1.
fn revision(namespace: &Namespace, name: &str) -> Value {
    let annotation = "deployment.kubernetes.io/revision";
    get(namespace, "deployments", name)["metadata"]["annotations"][annotation].clone()
}

#[track_caller]
fn says(namespace: &Namespace, labels: &str, text: &str) {
    eventually(&format!("a pod to say {text}"), SOON, || {
        let pods = namespace.pods(labels).into_iter();
        let mut logs = pods.map(|pod| namespace.existing_pod(&pod).log(""));
        logs.any(|log| String::from_utf8_lossy(&log).contains(text))
            .then_some(())
    });
}

#[test]
#[ignore = "needs the cluster"]
fn a_pod_starts_with_the_secret_and_is_restarted_once_for_a_new_value() {
    let team = team("deliver", &json!({"password": "first"}));
    let _operator = Operator::install(&team, &[]);
    let restart = json!([{"kind": "Deployment", "name": "web"}]);
    bundle(
        &team,
        "app",
        &json!({"refresh": "10s"}),
        &json!({"restart": restart}),
    );
    deploy(&team, "web");
    says(&team, "app=web", "started with first");
    until(&team, "app", "Synced");
    assert_eq!(
        revision(&team, "web"),
        "1",
        "the first content restarts nothing"
    );

    team.put(cluster().vault(), "db", &json!({"password": "second"}));
    until_content(&team, "app", &json!({"password": "second"}));
    says(&team, "app=web", "started with second");
    assert_eq!(revision(&team, "web"), "2");
    // Refreshes go on, and find nothing new.
    let asked = || {
        cluster()
            .vault()
            .audit()
            .iter()
            .filter(|(_, path)| path.contains(team.name()))
            .count()
    };
    let before = asked();
    eventually("another refresh", SOON, || (asked() > before).then_some(()));
    sleep(QUIET);
    assert_eq!(revision(&team, "web"), "2");
}

#[test]
#[ignore = "needs the cluster"]
fn what_somebody_alters_or_deletes_is_restored() {
    let team = team("drift", &json!({"password": "right", "user": "app"}));
    let _operator = Operator::install(&team, &[]);
    bundle(&team, "app", &json!({}), &json!({}));
    let wanted = json!({"password": "right", "user": "app"});
    until_content(&team, "app", &wanted);
    team.secret("app", &json!({"password": "tampered with"}));
    until_content(&team, "app", &wanted);
    let before = get(&team, "secrets", "app")["metadata"]["uid"].clone();
    delete(&team, "secrets", "app");
    until_content(&team, "app", &wanted);
    assert_ne!(get(&team, "secrets", "app")["metadata"]["uid"], before);
}

#[test]
#[ignore = "needs the cluster"]
fn secrets_of_others_are_left_alone_joined_or_taken_over_as_asked() {
    let team = team("owners", &json!({"password": "ours"}));
    let _operator = Operator::install(&team, &[]);
    for name in ["foreign", "shared", "adopted"] {
        team.secret(name, &json!({"theirs": "kept"}));
    }
    let named = |name: &str| json!({"secretName": name});
    let merged = |name: &str, ownership: &str| json!({"secretName": name, "ownership": ownership});
    bundle(&team, "own", &json!({}), &named("foreign"));
    bundle(&team, "merge", &json!({}), &merged("shared", "Merge"));
    let path = format!("secret/data/{}/db", team.name());
    let other = json!({"entries": [{"name": "other", "path": path, "key": "password"}]});
    bundle(&team, "merge-too", &other, &merged("shared", "Merge"));
    bundle(&team, "adopt", &json!({}), &merged("adopted", "Adopt"));
    until(&team, "own", "Conflict");
    assert_eq!(content(&team, "foreign"), json!({"theirs": "kept"}));
    until_content(
        &team,
        "shared",
        &json!({"theirs": "kept", "password": "ours", "other": "ours"}),
    );
    until_content(
        &team,
        "adopted",
        &json!({"theirs": "kept", "password": "ours"}),
    );
    for name in ["merge", "merge-too", "adopt"] {
        until(&team, name, "Synced");
    }
}
