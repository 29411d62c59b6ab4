//! Secrets from a real Vault through a real Kubernetes API server: `scripts/test servers`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_server;
mod bad_inputs;
mod bed;
mod certificates;
mod classes;
mod faults;
mod leases;
mod outages;
mod restarts;
mod rights;
mod shards;
mod successors;

use std::thread::sleep;
use std::time::Duration;

use envlatch_test_support::{assert_no_canary, canary, eventually};
use serde_json::{Value, json};

use bed::{BUNDLES, Bed, SECRETS, SOON, condition};

/// Longer than any reaction that must not come would take.
const QUIET: Duration = Duration::from_secs(3);

/// Whether somebody asked so often, or once more: a request that a busy server did not answer in time is sent again.
fn within(asked: usize, wanted: usize) -> bool {
    (wanted..=wanted + 1).contains(&asked)
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_bundle_becomes_a_secret_and_follows_its_spec() {
    let bed = Bed::new();
    bed.vault
        .put_kv2("app", &json!({"password": "one", "user": "u"}));
    let _operator = bed.operator("a");
    bed.sync(
        "app",
        "app",
        &json!({"templates": [{"name": "url", "text": "db://${.user}:${.password}@host"}]}),
        &json!({"labels": {"team": "x"}, "annotations": {"example.com/a": "b"}}),
    );
    let bundle = bed.until("app", "Synced");
    bed.until_content(
        "app",
        &json!({"password": "one", "user": "u", "url": "db://u:one@host"}),
    );
    let secret = bed
        .kubernetes
        .api("GET", &format!("{SECRETS}/app"), &Value::Null);
    assert_eq!(secret["type"], "Opaque");
    assert_eq!(secret["metadata"]["labels"]["team"], "x");
    assert_eq!(secret["metadata"]["annotations"]["example.com/a"], "b");
    assert_eq!(secret["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(condition(&bundle, "Synced")["status"], "True");
    assert_eq!(bundle["status"]["secret"]["uid"], secret["metadata"]["uid"]);

    // A key that is not wanted any more goes; one that somebody added stays, and so does what he labelled.
    let added = json!({"metadata": {"labels": {"theirs": "1"}}, "data": {"extra": "eA=="}});
    bed.patch(&format!("{SECRETS}/app"), &added);
    bed.patch(
        &format!("{BUNDLES}/app"),
        &json!({"spec": {"templates": [], "sync": {"labels": {"team": "y"}}}}),
    );
    bed.until_content(
        "app",
        &json!({"password": "one", "user": "u", "extra": "x"}),
    );
    bed.until("app", "Synced");
    let secret = bed
        .kubernetes
        .api("GET", &format!("{SECRETS}/app"), &Value::Null);
    assert_eq!(
        secret["metadata"]["labels"],
        json!({"team": "y", "theirs": "1", "envlatch.io/synced": "true"})
    );

    // On demand, at once.
    bed.vault
        .put_kv2("app", &json!({"password": "two", "user": "u"}));
    bed.patch(
        &format!("{BUNDLES}/app"),
        &json!({"metadata": {"annotations": {"envlatch.io/refresh-at": "1"}}}),
    );
    bed.until_content(
        "app",
        &json!({"password": "two", "user": "u", "extra": "x"}),
    );

    // The bundle goes, the Secret stays, and a bundle of the same name continues with it.
    bed.kubernetes
        .api("DELETE", &format!("{BUNDLES}/app"), &Value::Null);
    sleep(QUIET);
    assert_eq!(bed.content("app").unwrap()["password"], "two");
    bed.vault.put_kv2("app", &json!({"password": "three"}));
    bed.sync("app", "app", &json!({}), &json!({"onDelete": "Delete"}));
    let bundle = bed.until("app", "Synced");
    assert_eq!(bed.content("app").unwrap()["password"], "three");
    let secret = bed
        .kubernetes
        .api("GET", &format!("{SECRETS}/app"), &Value::Null);
    assert_eq!(
        secret["metadata"]["ownerReferences"][0]["uid"],
        bundle["metadata"]["uid"]
    );
    let logins = bed.asked("auth/kubernetes/login");
    assert!(
        within(logins, 2),
        "{logins}, not one for each of the two bundles' lives"
    );
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn whose_a_secret_is_is_respected() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "ours"}));
    let foreign = json!({"metadata": {"name": "theirs"}, "data": {"other": "eA=="}});
    bed.kubernetes.api("POST", SECRETS, &foreign);
    let before = bed.version(&format!("{SECRETS}/theirs"));
    let _operator = bed.operator("a");
    bed.sync("own", "theirs", &json!({}), &json!({}));
    let refused = bed.until("own", "Conflict");
    assert_eq!(condition(&refused, "Synced")["status"], "False");
    assert_eq!(bed.version(&format!("{SECRETS}/theirs")), before);

    bed.sync(
        "merge",
        "theirs",
        &json!({}),
        &json!({"ownership": "Merge"}),
    );
    bed.until("merge", "Synced");
    bed.until_content("theirs", &json!({"other": "x", "key": "ours"}));

    // Two bundles in one Secret keep each other's keys; for one key the first has it.
    let two = json!([{"name": "second", "path": "secret/data/app", "key": "key"}]);
    bed.sync(
        "second",
        "theirs",
        &json!({"entries": two}),
        &json!({"ownership": "Merge"}),
    );
    bed.until("second", "Synced");
    bed.until_content(
        "theirs",
        &json!({"other": "x", "key": "ours", "second": "ours"}),
    );
    bed.sync(
        "third",
        "theirs",
        &json!({"entries": two}),
        &json!({"ownership": "Merge"}),
    );
    bed.until("third", "Conflict");
    bed.kubernetes
        .api("DELETE", &format!("{BUNDLES}/third"), &Value::Null);
    let renamed = json!([{"name": "renamed", "path": "secret/data/app", "key": "key"}]);
    bed.patch(
        &format!("{BUNDLES}/second"),
        &json!({"spec": {"entries": renamed}}),
    );
    bed.until_content(
        "theirs",
        &json!({"other": "x", "key": "ours", "renamed": "ours"}),
    );
    bed.kubernetes
        .api("DELETE", &format!("{BUNDLES}/merge"), &Value::Null);
    bed.kubernetes
        .api("DELETE", &format!("{BUNDLES}/second"), &Value::Null);

    bed.patch(
        &format!("{BUNDLES}/own"),
        &json!({"spec": {"sync": {"ownership": "Adopt"}}}),
    );
    bed.until("own", "Synced");
    assert_eq!(bed.content("theirs").unwrap()["other"], "x");

    // Two bundles, one Secret of their own: the first keeps it, and the second gets no word in.
    bed.sync("late", "theirs", &json!({}), &json!({}));
    bed.until("late", "Conflict");
    let settled = bed.version(&format!("{SECRETS}/theirs"));
    sleep(QUIET);
    assert_eq!(bed.version(&format!("{SECRETS}/theirs")), settled);
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn what_somebody_changed_is_restored_and_what_nobody_changed_is_left_alone() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "value"}));
    let _operator = bed.operator("a");
    bed.sync("app", "app", &json!({"refresh": "720h"}), &json!({}));
    bed.until("app", "Synced");
    let wanted = json!({"key": "value"});
    let path = format!("{SECRETS}/app");
    for (n, patch) in [
        json!({"data": {"key": "YmFk"}}),
        json!({"data": {"key": null}}),
    ]
    .iter()
    .enumerate()
    {
        bed.patch(&path, patch);
        bed.until_content("app", &wanted);
        let reads = bed.asked("secret/data/app");
        assert!(within(reads, n + 2), "{reads}");
    }
    bed.kubernetes.api("DELETE", &path, &Value::Null);
    bed.until_content("app", &wanted);
    eventually("the status to name the new Secret", SOON, || {
        let bundle = bed.until("app", "Synced");
        let secret = bed.kubernetes.api("GET", &path, &Value::Null);
        (bundle["status"]["secret"]["uid"] == secret["metadata"]["uid"]).then_some(())
    });

    // What does not concern us costs one read of the Secret: no write, and no request to the server.
    let reads = bed.vault.audit().len();
    bed.patch(&path, &json!({"metadata": {"labels": {"theirs": "1"}}}));
    let (secret, bundle) = (bed.version(&path), bed.version(&format!("{BUNDLES}/app")));
    sleep(QUIET);
    assert_eq!(bed.version(&path), secret);
    assert_eq!(bed.version(&format!("{BUNDLES}/app")), bundle);
    assert_eq!(bed.vault.audit().len(), reads);
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_restart_asks_and_writes_nothing() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "value"}));
    let operator = bed.operator("a");
    for n in 0..10 {
        bed.sync(
            &format!("app-{n}"),
            &format!("app-{n}"),
            &json!({"refresh": "720h"}),
            &json!({}),
        );
    }
    for n in 0..10 {
        bed.until(&format!("app-{n}"), "Synced");
    }
    let logins = bed.asked("auth/kubernetes/login");
    assert!(within(logins, 1), "{logins} of one account");
    operator.kill();
    let versions = || -> Vec<Value> {
        let of = |n: usize| [format!("{SECRETS}/app-{n}"), format!("{BUNDLES}/app-{n}")];
        (0..10)
            .flat_map(of)
            .map(|path| bed.version(&path))
            .collect()
    };
    let (before, asked) = (versions(), bed.vault.audit().len());
    let restarted = bed.operator("a");
    restarted.until_leading();
    sleep(QUIET);
    assert_eq!(versions(), before);
    assert_eq!(bed.vault.audit().len(), asked);

    // What is asked for while nobody is there is done by the next.
    restarted.kill();
    bed.vault.put_kv2("app", &json!({"key": "new"}));
    bed.refresh("app-5", "1");
    let _operator = bed.operator("a");
    bed.until_content("app-5", &json!({"key": "new"}));
    assert_eq!(bed.content("app-6").unwrap(), json!({"key": "value"}));

    // It works: what is changed now is restored.
    bed.patch(
        &format!("{SECRETS}/app-3"),
        &json!({"data": {"key": "YmFk"}}),
    );
    bed.until_content("app-3", &json!({"key": "new"}));
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn no_value_reaches_a_log_a_status_or_an_event() {
    let bed = Bed::new();
    let canaries = [canary(), canary(), canary()];
    bed.vault.put_kv2(
        "app",
        &json!({"password": canaries[0], "json": {"deep": canaries[1]}, "bad": canaries[2]}),
    );
    let operator = bed.operator("a");
    bed.sync("good", "good", &json!({}), &json!({}));
    bed.until("good", "Synced");
    let encoded =
        json!([{"name": "bad", "path": "secret/data/app", "key": "bad", "encoding": "hex"}]);
    bed.sync(
        "undecodable",
        "undecodable",
        &json!({"entries": encoded}),
        &json!({}),
    );
    bed.until("undecodable", "NotDecodable");
    // The API server judges what is in this type, and quotes what it refuses.
    let config =
        json!([{"name": ".dockerconfigjson", "path": "secret/data/app", "key": "password"}]);
    bed.sync(
        "typed",
        "typed",
        &json!({"entries": config}),
        &json!({"type": "kubernetes.io/dockerconfigjson"}),
    );
    bed.until("typed", "WriteRefused");
    bed.patch(
        &format!("{SECRETS}/good"),
        &json!({"data": {"password": "YmFk"}}),
    );
    bed.until_content("good", &json!({"password": canaries[0], "json": json!({"deep": canaries[1]}).to_string(), "bad": canaries[2]}));
    let get = |path: &str| bed.kubernetes.api("GET", path, &Value::Null).to_string();
    let outputs = [
        ("the log", operator.log()),
        ("the bundles", get(BUNDLES).into_bytes()),
        (
            "the events",
            get("/apis/events.k8s.io/v1/namespaces/team/events").into_bytes(),
        ),
    ];
    assert!(!outputs[0].1.is_empty());
    assert_no_canary(&outputs, &canaries);
}
