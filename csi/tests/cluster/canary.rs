//! No value and no token is in anything that the plugin says, at its most talkative.

use envlatch_test_support::{assert_no_canary, canary};
use serde_json::json;

use crate::bed::{
    bundle, class, cluster, plugin_log, plugin_metrics, shell, volume, volume_of_class,
};

#[test]
#[ignore = "needs the cluster"]
fn values_are_in_no_log_event_status_or_metric() {
    let cluster = cluster();
    let namespace = cluster.namespace("canary");
    let secrets = [canary(), canary()];
    let name = namespace.name().to_owned();
    let data = json!({"a": secrets[0], "b": secrets[1], "map": {"c": secrets[0]}});
    namespace.put(cluster.vault(), "db", &data);
    bundle(
        &namespace,
        "good",
        &[("a", "db#a"), ("b", "db#b")],
        &json!({"refresh": "10s"}),
    );
    // Fails after its answer has arrived.
    bundle(
        &namespace,
        "bad",
        &[("a", "db#a"), ("c", "db#absent")],
        &json!({}),
    );
    let objects = format!(
        "- objectName: a\n  secretPath: secret/data/{name}/db\n  secretKey: a\n  encoding: base64\n\
         - objectName: m\n  secretPath: secret/data/{name}/db\n"
    );
    class(&namespace, &objects);
    let good = shell(
        &namespace,
        "good",
        volume("secrets", &json!({"bundle": "good"})),
        "sleep 600",
    );
    good.runs();
    shell(
        &namespace,
        "bad",
        volume("secrets", &json!({"bundle": "bad"})),
        "exit 0",
    );
    crate::bed::warned(&namespace, "bad", &["absent"]);
    shell(&namespace, "class", volume_of_class(), "exit 0");
    crate::bed::warned(&namespace, "class", &["base64"]);

    let lists = [
        "events",
        "pods",
        "secretbundles",
        "secretproviderclasspodstatuses",
    ]
    .map(|kind| {
        let output = cluster.kubectl(&["get", kind, "--namespace", &name, "--output", "yaml"]);
        assert!(output.status.success(), "{output:?}");
        output.stdout
    });
    let log = plugin_log(cluster);
    assert!(
        String::from_utf8_lossy(&log).contains(&name),
        "the log says nothing about what was mounted"
    );
    let metrics = plugin_metrics(cluster).into_bytes();
    let kubelet = cluster.log("kubelet").into_bytes();
    assert_no_canary(
        &[
            ("events", &lists[0]),
            ("pods", &lists[1]),
            ("bundles", &lists[2]),
            ("pod statuses", &lists[3]),
            ("the plugin's log", &log),
            ("the plugin's metrics", &metrics),
            ("kubelet's log", &kubelet),
        ],
        &secrets,
    );
    for (what, text) in [
        ("log", &log),
        ("metrics", &metrics),
        ("events", &lists[0]),
        ("pod statuses", &lists[3]),
    ] {
        let text = String::from_utf8_lossy(text);
        assert!(
            !text.contains("eyJ") && !text.contains("hvs."),
            "a token is in the {what}"
        );
    }
    documented(&String::from_utf8_lossy(&metrics));
}

/// What the manual names is there.
fn documented(metrics: &str) {
    let manual = include_str!("../../../docs/csi.md");
    let names: Vec<&str> = manual
        .split('`')
        .filter(|word| word.starts_with("envlatch_csi_") && !word.contains(' '))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(metrics.contains(name), "{name} is not in:\n{metrics}");
    }
}
