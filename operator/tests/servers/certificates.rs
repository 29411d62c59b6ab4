//! Certificates of the server's PKI engine in Secrets, and what monitoring and kubectl show of them.

use std::process::Command;

use envlatch_test_support::eventually;
use serde_json::{Value, json};

use crate::bed::{Bed, SECRETS, SOON};

/// An engine whose certificates live for so long.
fn pki(bed: &Bed, ttl: &str) {
    bed.vault
        .api("POST", "sys/mounts/pki", &json!({"type": "pki"}));
    bed.vault.api(
        "POST",
        "pki/root/generate/internal",
        &json!({"common_name": "ca.test", "ttl": "1h"}),
    );
    let role = json!({"allowed_domains": "app.test", "allow_bare_domains": true, "key_type": "ec", "ttl": ttl, "max_ttl": ttl});
    bed.vault.api("POST", "pki/roles/web", &role);
    bed.vault.policy(
        "app",
        "path \"pki/issue/web\" { capabilities = [\"update\"] }",
    );
    bed.patch(
        "/apis/envlatch.io/v1alpha1/vaultstores/main",
        &json!({"spec": {"allow": {"writes": ["pki/issue/web"]}}}),
    );
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_certificate_is_replaced_before_it_ends_and_no_sooner() {
    let bed = Bed::new();
    pki(&bed, "90s");
    let operator = bed.operator("a");
    let entry = |name: &str, key: &str| {
        json!({
            "name": name, "path": "pki/issue/web", "key": key, "method": "write",
            "arguments": [{"name": "common_name", "value": "app.test"}],
        })
    };
    let entries = json!([
        entry("tls.crt", "certificate"),
        entry("tls.key", "private_key"),
        entry("ca.crt", "issuing_ca"),
    ]);
    // An interval says how old a secret may be that can be read again; a certificate is kept until it has to be replaced.
    bed.sync(
        "web",
        "web",
        &json!({"entries": entries, "refresh": "10s"}),
        &json!({"type": "kubernetes.io/tls"}),
    );
    let found = bed.until("web", "Synced");
    let expires = found["status"]["leaseExpires"].as_str().unwrap().to_owned();
    let certificate = || bed.content("web").unwrap()["tls.crt"].clone();
    let first = certificate();
    let metrics = operator.metrics();
    let expiry = metrics["envlatch_operator_first_expiry_seconds"];
    assert!((1.0..=91.0).contains(&expiry), "{expiry}");
    assert!(metrics["envlatch_operator_next_due_seconds"] <= 30.0);
    assert!(metrics["envlatch_operator_oldest_content_seconds"] < 60.0);
    assert!((metrics["envlatch_operator_shards"] - 1.0).abs() < f64::EPSILON);
    let columns = kubectl(&bed);
    for word in [
        "SYNCED", "SINCE", "REFRESH", "LEASE", "REASON", "web", "True", "10s", "Synced",
    ] {
        assert!(columns.contains(word), "{word} in {columns}");
    }

    // A successor keeps it as well.
    operator.kill();
    let _operator = bed.operator("a");
    eventually("another certificate", SOON, || {
        (certificate() != first).then_some(())
    });
    let now = bed
        .kubernetes
        .api("GET", &format!("{SECRETS}/web"), &Value::Null);
    let written = now["metadata"]["managedFields"].as_array().unwrap();
    let written = written
        .iter()
        .filter_map(|one| one["time"].as_str())
        .max()
        .unwrap();
    assert!(
        written < expires.as_str(),
        "written at {written}, the first ended at {expires}"
    );
    assert_eq!(bed.asked("pki/issue/web"), 2);
}

fn kubectl(bed: &Bed) -> String {
    let folder = std::env::var_os("ENVLATCH_KUBERNETES").expect("set by scripts/test");
    let output = Command::new(std::path::Path::new(&folder).join("kubectl"))
        .args(["--namespace", "team", "get", "secretbundles"])
        .args([
            "--server",
            bed.kubernetes.address(),
            "--token",
            bed.kubernetes.token(),
        ])
        .arg("--certificate-authority")
        .arg(bed.kubernetes.ca_file())
        .env_clear()
        .env("HOME", bed.kubernetes.ca_file().parent().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
