//! The chart, installed by Helm; and a user's chart that has it as a dependency.

use std::process::Output;

use envlatch_test_support::{Cluster, ExampleChart, chart, helm};
use serde_json::json;

use crate::APP;

/// The images that `scripts/images` loaded, instead of those of a registry.
const IMAGES: [&str; 4] = [
    "image.registry=envlatch.test",
    "image.tag=dev",
    "image.pullPolicy=Never",
    "launcher.image=launcher",
];

#[track_caller]
fn success(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "needs the cluster"]
fn an_installed_chart_passes_its_own_test_and_leaves_nothing() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("chart");
    let at = format!("--namespace={}", namespace.name());
    let chart = chart();
    let values = IMAGES.map(|value| format!("--set={value}"));
    let mut words = vec!["install", "demo", chart.to_str().unwrap(), &at, "--wait"];
    words.extend(values.iter().map(String::as_str));
    success(&helm(&words));
    let tested = helm(&["test", "demo", &at, "--logs"]);
    success(&tested);
    assert!(
        String::from_utf8_lossy(&tested.stdout).contains("envlatch 0.1.0"),
        "{tested:?}"
    );
    success(&helm(&["uninstall", "demo", &at]));
}

#[test]
#[ignore = "needs the cluster"]
fn a_users_chart_starts_its_program_behind_the_launcher() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("example");
    let vault = cluster.vault();
    namespace.put(vault, "db", &json!({"password": "hunter22"}));
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.json");
    let reference = format!("vault:secret/data/{}/db#password", namespace.name());
    let content = json!({
        "image": APP,
        "args": ["/app", "report", "print", "", "sleep", "600000"],
        "env": {
            "VAULT_ADDR": vault.address(),
            "VAULT_CACERT_BYTES": vault.ca_pem(),
            "VAULT_ROLE": namespace.name(),
            "DB_PASSWORD": reference,
        },
        "envlatch": {
            "image": {"registry": "envlatch.test", "tag": "dev", "pullPolicy": "Never"},
            "launcher": {"image": "launcher"},
        },
    });
    std::fs::write(&values, content.to_string()).unwrap();
    let example = ExampleChart::new();
    let chart = example.path();
    let chart = chart.to_str().unwrap();
    let at = format!("--namespace={}", namespace.name());
    let values = format!("--values={}", values.display());
    success(&helm(&[
        "install",
        "demo",
        chart,
        &at,
        &values,
        "--wait",
        "--timeout=120s",
    ]));
    let pods = namespace.pods("app.kubernetes.io/instance=demo");
    let report = namespace.existing_pod(&pods[0]).report();
    assert_eq!(report.env("DB_PASSWORD").unwrap(), "hunter22");
}
