//! `secretObjects` of SecretProviderClasses, which need no pod here.

use std::thread::sleep;

use data_encoding::BASE64;
use envlatch_api::manifests;
use envlatch_test_support::eventually;
use serde_json::{Value, json};

use crate::QUIET;
use crate::bed::{Bed, Operator, SECRETS, SOON};

const CLASSES: &str = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/team/secretproviderclasses";
const OBJECTS: &str = "- {objectName: user, secretPath: secret/data/app, secretKey: user}\n\
    - {objectName: password, secretPath: secret/data/app, secretKey: password}\n\
    - {objectName: pair.pem, secretPath: secret/data/app, secretKey: pair}\n\
    - {objectName: lease, secretPath: database/creds/app, secretKey: password}\n";
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nBB==\n-----END CERTIFICATE-----\n";

fn define(bed: &Bed) {
    let foreign = manifests::foreign().into_iter();
    let foreign: Vec<Value> = foreign
        .map(|one| serde_json::to_value(one).unwrap())
        .collect();
    bed.kubernetes.define(&foreign[..1]);
}

fn put(bed: &Bed, password: &str) {
    bed.vault.put_kv2(
        "app",
        &json!({"user": "u", "password": password, "pair": format!("{KEY}{CERTIFICATE}")}),
    );
}

fn class(name: &str, account: Option<&str>, objects: &Value) -> Value {
    let annotations = account.map(|account| json!({"envlatch.io/sync-service-account": account}));
    json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "provider": "vault",
            "parameters": {"roleName": "app", "objects": OBJECTS},
            "secretObjects": objects,
        },
    })
}

fn object(secret: &str, data: &[(&str, &str)]) -> Value {
    let data: Vec<Value> = data
        .iter()
        .map(|(name, key)| json!({"objectName": name, "key": key}))
        .collect();
    json!({"secretName": secret, "type": "Opaque", "data": data})
}

fn make(bed: &Bed, class: &Value) {
    bed.kubernetes.api("POST", CLASSES, class);
}

#[track_caller]
fn until_told(bed: &Bed, class: &str, reason: &str) {
    eventually(&format!("{class} to be told {reason}"), SOON, || {
        bed.events(class)
            .iter()
            .any(|told| told == reason)
            .then_some(())
    });
}

/// With a class that is synced already.
fn synced(bed: &Bed) -> Operator {
    define(bed);
    put(bed, "one");
    let operator = bed.operator_with("a", &["--secret-objects"]);
    make(
        bed,
        &class(
            "app",
            Some("app"),
            &json!([object("app", &[("password", "pw"), ("user", "u")])]),
        ),
    );
    bed.until_content("app", &json!({"pw": "one", "u": "u"}));
    operator
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_cluster_without_classes_is_no_error_and_with_them_each_object_becomes_a_secret() {
    let bed = Bed::new();
    put(&bed, "one");
    let operator = bed.operator_for("a", &["--all-namespaces", "--secret-objects"]);
    bed.sync("bundle", "bundle", &json!({}), &json!({}));
    bed.until("bundle", "Synced");
    let log = String::from_utf8_lossy(&operator.log()).into_owned();
    assert!(!log.contains("cannot watch secretproviderclasses"), "{log}");
    define(&bed);
    let mut labelled = object("plain", &[("password", "pw"), ("password", "again")]);
    labelled["labels"] = json!({"team": "x"});
    labelled["annotations"] = json!({"example.com/a": "b"});
    let mut pair = object("pair", &[("pair.pem", "tls.crt"), ("pair.pem", "tls.key")]);
    pair["type"] = json!("kubernetes.io/tls");
    make(&bed, &class("app", Some("app"), &json!([labelled, pair])));
    bed.until_content("plain", &json!({"pw": "one", "again": "one"}));
    bed.until_content("pair", &json!({"tls.crt": CERTIFICATE, "tls.key": KEY}));
    let get = |name: &str| {
        bed.kubernetes
            .api("GET", &format!("{SECRETS}/{name}"), &Value::Null)
    };
    let (plain, pair) = (get("plain"), get("pair"));
    assert_eq!(
        (&plain["type"], &pair["type"]),
        (&json!("Opaque"), &json!("kubernetes.io/tls"))
    );
    assert_eq!(plain["metadata"]["labels"]["team"], "x");
    assert_eq!(
        plain["metadata"]["labels"]["secrets-store.csi.k8s.io/managed"],
        "true"
    );
    assert_eq!(plain["metadata"]["annotations"]["example.com/a"], "b");
    assert_eq!(plain["metadata"]["ownerReferences"], Value::Null);
    // Both come from one login, of one account, and the class says nothing of a credential, so none is issued.
    assert_eq!(bed.asked("auth/kubernetes/login"), 1);
    assert_eq!(bed.asked("database/creds/app"), 0);
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn the_secret_of_a_class_is_kept_in_step_and_stays_when_the_class_goes() {
    let bed = Bed::new();
    let operator = synced(&bed);
    bed.patch(&format!("{SECRETS}/app"), &json!({"data": {"pw": "YmFk"}}));
    bed.until_content("app", &json!({"pw": "one", "u": "u"}));
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/app"), &Value::Null);
    bed.until_content("app", &json!({"pw": "one", "u": "u"}));
    put(&bed, "two");
    let asked = json!({"metadata": {"annotations": {"envlatch.io/refresh-at": "1"}}});
    bed.patch(&format!("{CLASSES}/app"), &asked);
    bed.until_content("app", &json!({"pw": "two", "u": "u"}));
    // A key that is not wanted any more goes.
    let fewer = json!({"spec": {"secretObjects": [object("app", &[("password", "pw")])]}});
    bed.patch(&format!("{CLASSES}/app"), &fewer);
    bed.until_content("app", &json!({"pw": "two"}));

    // Another process finds it as it should be.
    operator.kill();
    let before = bed.version(&format!("{SECRETS}/app"));
    let _restarted = bed.operator_with("a", &["--secret-objects"]);
    eventually("the class to be looked at", SOON, || {
        (bed.asked("auth/kubernetes/login") >= 2).then_some(())
    });
    sleep(QUIET);
    assert_eq!(bed.version(&format!("{SECRETS}/app")), before);

    bed.kubernetes
        .api("DELETE", &format!("{CLASSES}/app"), &Value::Null);
    sleep(QUIET);
    assert_eq!(bed.content("app"), Some(json!({"pw": "two"})));
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/app"), &Value::Null);
    sleep(QUIET);
    assert_eq!(bed.content("app"), None, "nobody wants it any more");
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn what_is_missing_or_wrong_is_told_once_and_with_the_remedy() {
    let bed = Bed::new();
    let _operator = synced(&bed);
    make(
        &bed,
        &class("silent", None, &json!([object("silent", &[("user", "u")])])),
    );
    until_told(&bed, "silent", "SyncAccountMissing");
    sleep(QUIET);
    assert_eq!(bed.events("silent"), ["SyncAccountMissing"]);
    assert_eq!(bed.content("silent"), None);
    let named = json!({"metadata": {"annotations": {"envlatch.io/sync-service-account": "app"}}});
    bed.patch(&format!("{CLASSES}/silent"), &named);
    bed.until_content("silent", &json!({"u": "u"}));

    make(
        &bed,
        &class(
            "leased",
            Some("app"),
            &json!([object("leased", &[("lease", "pw")])]),
        ),
    );
    until_told(&bed, "leased", "LeaseNotKept");
    assert_eq!(bed.asked("database/creds/app"), 0);
    make(
        &bed,
        &class(
            "nobody",
            Some("nobody"),
            &json!([object("nobody", &[("user", "u")])]),
        ),
    );
    until_told(&bed, "nobody", "TokenRefused");

    // A Secret that the driver made is continued, one that somebody else made is not.
    let of_driver = json!({"secrets-store.csi.k8s.io/managed": "true"});
    for (name, labels) in [("drivers", of_driver), ("theirs", json!({}))] {
        let data = json!({"u": BASE64.encode(b"old")});
        bed.kubernetes.api(
            "POST",
            SECRETS,
            &json!({"metadata": {"name": name, "labels": labels}, "data": data}),
        );
        make(
            &bed,
            &class(name, Some("app"), &json!([object(name, &[("user", "u")])])),
        );
    }
    bed.until_content("drivers", &json!({"u": "u"}));
    until_told(&bed, "theirs", "Conflict");
    assert_eq!(bed.content("theirs"), Some(json!({"u": "old"})));
}
