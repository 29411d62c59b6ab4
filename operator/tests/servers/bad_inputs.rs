//! Bundles that cannot become what they ask for.

use std::collections::BTreeMap;

use envlatch_test_support::eventually;
use serde_json::{Value, json};

use crate::bed::{BUNDLES, Bed, SECRETS, SOON, condition};

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
    let reason = eventually("a verdict", SOON, || {
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
#[ignore = "needs Kubernetes and Vault"]
fn a_refused_write_shows_in_the_status_and_is_repeated() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let policy = json!({
        "metadata": {"name": "no-secrets"},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"],
            }]},
            "validations": [{"expression": "object.metadata.namespace != 'team'", "message": "not here"}],
        },
    });
    bed.kubernetes.api("POST", policies, &policy);
    let binding = json!({
        "metadata": {"name": "no-secrets"},
        "spec": {"policyName": "no-secrets", "validationActions": ["Deny"]},
    });
    bed.kubernetes.api(
        "POST",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
        &binding,
    );
    eventually("the policy to hold", SOON, || {
        let probe = json!({"metadata": {"name": "probe"}});
        let (status, _) = bed
            .kubernetes
            .send("POST", &format!("{SECRETS}?dryRun=All"), &probe);
        (status == 422).then_some(())
    });
    let _operator = bed.operator("a");
    bed.sync("app", "app", &json!({}), &json!({}));
    let refused = bed.until("app", "WriteRefused");
    let ready = condition(&refused, "Ready");
    assert_eq!(ready["status"], "False");
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("not here"), "{message}");
    bed.kubernetes
        .api("DELETE", &format!("{policies}/no-secrets"), &Value::Null);
    bed.until("app", "Synced");
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn keys_that_the_server_has_no_more_are_named_when_they_go() {
    let bed = Bed::new();
    bed.vault
        .put_kv2("app", &json!({"key": "one", "old": "two"}));
    let _operator = bed.operator("a");
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    bed.refresh("app", "1");
    bed.until_content("app", &json!({"key": "one"}));
    bed.until_event("app", "KeysRemoved");
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
            "long account",
            json!({}),
            json!({"serviceAccount": "x".repeat(300)}),
        ),
        (
            "account of another namespace",
            json!({}),
            json!({"serviceAccount": "other/app"}),
        ),
        (
            "account by a path",
            json!({}),
            json!({"serviceAccount": "../../other/serviceaccounts/app"}),
        ),
        (
            "Secret of another namespace",
            json!({}),
            json!({"secretName": "other/app"}),
        ),
        (
            "workload of another namespace",
            json!({}),
            json!({"restart": [{"kind": "Deployment", "name": "../other"}]}),
        ),
        (
            "workload of another kind",
            json!({}),
            json!({"restart": [{"kind": "Node", "name": "web"}]}),
        ),
        (
            "more than 32 annotations",
            json!({}),
            json!({"annotations": (0..33).map(|n| (n.to_string(), "x")).collect::<BTreeMap<_, _>>()}),
        ),
        (
            "a long annotation",
            json!({}),
            json!({"annotations": {"a": "x".repeat(256 * 1024)}}),
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
