//! Servers that are away for long, say that they are asked too much, or are away when a bundle is deleted.

use std::thread::sleep;
use std::time::{Duration, Instant};

use envlatch_test_support::eventually;
use serde_json::{Value, json};

use crate::bed::{BUNDLES, Bed, SOON};
use crate::leases::{bundle, database};
use crate::restarts::{stamps, workload};

/// Long enough for every pause to have grown to its limit.
const LONG: Duration = Duration::from_secs(50);

fn path(n: usize) -> Value {
    json!({"entries": [{"name": "key", "path": format!("secret/data/app-{n}"), "key": "key"}]})
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn after_a_long_seal_everything_is_ready_within_a_minute_and_nothing_restarts() {
    let bed = Bed::new();
    workload(&bed, "Deployment", "deployments");
    let restart = json!({"restart": [{"kind": "Deployment", "name": "web"}]});
    for n in 0..40 {
        bed.vault
            .put_kv2(&format!("app-{n}"), &json!({"key": "one"}));
    }
    let operator = bed.operator("a");
    for n in 0..40 {
        let mut spec = path(n);
        spec["refresh"] = json!("10s");
        bed.sync(&format!("app-{n}"), &format!("app-{n}"), &spec, &restart);
    }
    for n in 0..40 {
        bed.until(&format!("app-{n}"), "Synced");
    }
    bed.vault.seal();
    for n in 0..40 {
        bed.until(&format!("app-{n}"), "VaultSealed");
    }
    let failures = || operator.metrics()["envlatch_operator_vault_failures_total"];
    let before = failures();
    sleep(LONG);
    let tried = failures() - before;
    assert!(
        tried <= 20.0,
        "{tried} attempts at a sealed server in {LONG:?}"
    );
    bed.vault.unseal();
    let unsealed = Instant::now();
    for n in 0..40 {
        bed.until(&format!("app-{n}"), "Synced");
    }
    assert!(unsealed.elapsed() < Duration::from_secs(60));
    assert_eq!(stamps(&bed, "deployments"), Value::Null);
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_server_that_is_asked_too_much_is_asked_less_and_everybody_is_served() {
    let bed = Bed::new();
    for n in 0..30 {
        bed.vault
            .put_kv2(&format!("app-{n}"), &json!({"key": "one"}));
    }
    bed.vault.api(
        "POST",
        "sys/quotas/rate-limit/few",
        &json!({"rate": 2, "path": "secret/"}),
    );
    for n in 0..30 {
        bed.sync(
            &format!("app-{n}"),
            &format!("app-{n}"),
            &path(n),
            &json!({}),
        );
    }
    let began = Instant::now();
    let operator = bed.operator("a");
    for n in 0..30 {
        bed.until(&format!("app-{n}"), "Synced");
    }
    assert!(
        began.elapsed() > Duration::from_secs(10),
        "the limit lets 2 reads pass in a second"
    );
    let refused = operator.metrics()["envlatch_operator_vault_failures_total"];
    assert!(refused < 120.0, "{refused} refusals for 30 reads");
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn a_bundle_that_is_deleted_while_the_server_is_away_is_revoked_when_it_is_back() {
    let bed = Bed::new();
    let postgres = database(&bed, "10m", "1h");
    let _operator = bed.operator("a");
    bundle(&bed, "db");
    bed.until("db", "Synced");
    bed.vault.seal();
    bed.kubernetes
        .api("DELETE", &format!("{BUNDLES}/db"), &Value::Null);
    sleep(Duration::from_secs(5));
    assert!(bed.exists("db"), "there is something to revoke");
    assert!(bed.content("db").is_some(), "the Secret is retained");
    bed.vault.unseal();
    bed.until_gone("db");
    eventually("the credential to end", SOON, || {
        postgres.issued().is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn a_server_that_stays_away_keeps_no_bundle_from_going() {
    let bed = Bed::new();
    let _postgres = database(&bed, "10m", "1h");
    let operator = bed.operator_with("a", &["--revoke-within", "15s"]);
    bundle(&bed, "db");
    bed.until("db", "Synced");
    bed.vault.seal();
    bed.kubernetes
        .api("DELETE", &format!("{BUNDLES}/db"), &Value::Null);
    sleep(Duration::from_secs(5));
    assert!(bed.exists("db"));
    bed.until_gone("db");
    bed.until_event("db", "LeasesNotRevoked");
    let log = String::from_utf8_lossy(&operator.log()).into_owned();
    assert!(
        log.contains("database/creds/app/"),
        "the lease is named: {log}"
    );
}
