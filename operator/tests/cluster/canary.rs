//! No value and no token is in anything that the operator says, at its most talkative.

use envlatch_test_support::{assert_no_canary, canary, eventually};
use serde_json::json;

use crate::bed::{Operator, SOON, bundle, cluster, delete, team, until, until_content};

#[test]
#[ignore = "needs the cluster"]
fn values_are_in_no_log_event_status_or_metric() {
    let secrets = [canary(), canary()];
    let team = team("canary", &json!({"a": secrets[0], "b": secrets[1]}));
    let operator = Operator::install(&team, &[]);
    bundle(&team, "good", &json!({}), &json!({}));
    let entry = |name: &str, more: &str| {
        let path = format!("secret/data/{}/db", team.name());
        json!({"entries": [{"name": name, "path": path, "key": "a", "encoding": more}]})
    };
    // Each fails after its answer has arrived: with us, and at the API server, which quotes what it refuses.
    bundle(&team, "undecodable", &entry("a", "hex"), &json!({}));
    let type_ = json!({"type": "kubernetes.io/dockerconfigjson"});
    bundle(
        &team,
        "refused",
        &entry(".dockerconfigjson", "utf-8"),
        &type_,
    );
    until(&team, "good", "Synced");
    until(&team, "undecodable", "NotDecodable");
    until(&team, "refused", "WriteRefused");
    delete(&team, "secrets", "good");
    until_content(&team, "good", &json!({"a": secrets[0], "b": secrets[1]}));
    eventually("events about all", SOON, || {
        (team.events().len() >= 3).then_some(())
    });

    let lists = ["events", "secretbundles"].map(|kind| {
        let output =
            cluster().kubectl(&["get", kind, "--namespace", team.name(), "--output", "yaml"]);
        assert!(output.status.success(), "{output:?}");
        output.stdout
    });
    // On a busy machine kubelet shows the log late.
    let log = eventually("the log tells what failed", SOON, || {
        let log = operator.log();
        String::from_utf8_lossy(&log)
            .contains("undecodable")
            .then_some(log)
    });
    let metrics = operator.metrics();
    assert_no_canary(
        &[
            ("events", lists[0].as_slice()),
            ("bundles", &lists[1]),
            ("the log", &log),
            ("the metrics", metrics.as_bytes()),
        ],
        &secrets,
    );
    for (what, text) in [
        ("log", String::from_utf8_lossy(&log).as_ref()),
        ("metrics", &metrics),
    ] {
        assert!(
            !text.contains("eyJ") && !text.contains("hvs."),
            "a token is in the {what}"
        );
    }
}
