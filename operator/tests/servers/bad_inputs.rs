//! Bundles that cannot become what they ask for.

use serde_json::{Value, json};

use crate::bed::{BUNDLES, Bed, SECRETS};

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn what_cannot_be_written_is_named_and_what_was_written_is_kept() {
    let bed = Bed::new();
    let big = "x".repeat(400 * 1024);
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    bed.vault
        .put_kv2("odd", &json!({"a/b": "1", "c d": "2", "fine": "3"}));
    for n in 0..3 {
        bed.vault.put_kv2(&format!("big-{n}"), &json!({"key": big}));
    }
    let _operator = bed.operator("a");
    let entry = |path: &str| json!([{"name": "all", "path": format!("secret/data/{path}"), "allKeys": true}]);
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");

    bed.sync(
        "keys",
        "keys",
        &json!({"entries": entry("odd")}),
        &json!({}),
    );
    let keys = bed.until("keys", "InvalidKey");
    let message = keys["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("\"a/b\", \"c d\""), "{message}");
    let mapped = json!([{"name": "a/b", "key": "a.b"}, {"name": "c d", "key": "cd"}]);
    bed.patch(
        &format!("{BUNDLES}/keys"),
        &json!({"spec": {"sync": {"keys": mapped}}}),
    );
    bed.until("keys", "Synced");
    bed.until_content("keys", &json!({"a.b": "1", "cd": "2", "fine": "3"}));

    let large: Vec<Value> = (0..3)
        .map(|n| json!({"name": format!("k{n}"), "path": format!("secret/data/big-{n}"), "key": "key"}))
        .collect();
    bed.patch(
        &format!("{BUNDLES}/app"),
        &json!({"spec": {"entries": large}}),
    );
    bed.until("app", "TooLarge");
    assert_eq!(bed.content("app").unwrap(), json!({"key": "one"}));

    let endless = "${.key | repeat 1000000000}";
    let template = json!({"templates": [{"name": "t", "text": endless}], "entries": [{"name": "key", "path": "secret/data/app", "key": "key"}]});
    bed.sync("template", "template", &template, &json!({}));
    let bundle = bed
        .kubernetes
        .api("GET", &format!("{BUNDLES}/template"), &Value::Null);
    assert_eq!(bundle["metadata"]["name"], "template");
    let reason = envlatch_test_support::eventually("a verdict", crate::SOON, || {
        let bundle = bed
            .kubernetes
            .api("GET", &format!("{BUNDLES}/template"), &Value::Null);
        bundle["status"]["conditions"][0]["reason"]
            .as_str()
            .map(str::to_owned)
    });
    assert!(
        ["TemplateFailed", "InvalidClass"].contains(&reason.as_str()),
        "{reason}"
    );
    assert_eq!(bed.content("template"), None);

    bed.sync(
        "labels",
        "labels",
        &json!({}),
        &json!({"labels": {"kubernetes.io/service-account.name": "x"}}),
    );
    bed.until("labels", "InvalidMetadata");
    let huge: serde_json::Map<String, Value> = (0..32)
        .map(|n| (format!("example.com/{n}"), json!("y".repeat(1024))))
        .collect();
    bed.sync(
        "annotations",
        "annotations",
        &json!({}),
        &json!({"annotations": huge}),
    );
    bed.until("annotations", "Synced");

    let immutable = json!({"metadata": {"name": "fixed", "annotations": {"envlatch.io/bundle": "fixed"}}, "immutable": true});
    bed.kubernetes.api("POST", SECRETS, &immutable);
    bed.sync("fixed", "fixed", &json!({}), &json!({}));
    bed.until("fixed", "Immutable");
}

#[test]
#[ignore = "needs Kubernetes"]
fn what_the_schema_can_see_is_refused_when_it_is_written() {
    let bed = Bed::new();
    for (what, spec, sync) in [
        (
            "token",
            json!({}),
            json!({"type": "kubernetes.io/service-account-token"}),
        ),
        (
            "bootstrap",
            json!({}),
            json!({"type": "bootstrap.kubernetes.io/token"}),
        ),
        ("helm", json!({}), json!({"type": "helm.sh/release.v1"})),
        (
            "merge-delete",
            json!({}),
            json!({"ownership": "Merge", "onDelete": "Delete"}),
        ),
        (
            "cross-namespace account",
            json!({}),
            json!({"serviceAccount": "x".repeat(300)}),
        ),
        ("zero", json!({"refresh": "0s"}), json!({})),
        ("negative", json!({"refresh": "-1s"}), json!({})),
        ("nano", json!({"refresh": "1ns"}), json!({})),
        ("years", json!({"refresh": "100y"}), json!({})),
        ("words", json!({"refresh": "5 minutes"}), json!({})),
    ] {
        let (status, answer) = bed.bundle("bad", "bad", &spec, &sync);
        assert_eq!(status, 422, "{what}: {answer}");
    }
}
