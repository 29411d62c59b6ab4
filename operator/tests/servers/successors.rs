//! Operators that go on where another was killed: what was issued is renewed, and nothing is issued because of it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use envlatch_test_support::{Postgres, assert_no_canary, eventually};
use serde_json::{Value, json};

use crate::bed::{BUNDLES, Bed, Operator, SECRETS, SOON};
use crate::leases::{bundle, database, username};
use crate::restarts::{stamps, workload};

const KEY: &str = "/api/v1/namespaces/envlatch/secrets/envlatch-operator-key";

/// What the Secret holds, which must work.
#[track_caller]
fn working(bed: &Bed, postgres: &Postgres) -> String {
    let now = username(bed, "db").unwrap();
    let works = postgres.issued().contains(&now);
    // It can have been replaced between the two looks.
    assert!(works || username(bed, "db").unwrap() != now, "{now} ended");
    now
}

/// Kills an operator and starts the next under its name.
fn follow(bed: &Bed, operator: Operator) -> Operator {
    operator.kill();
    let next = bed.operator("a");
    next.until_leading();
    next
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn what_a_killed_operator_was_issued_is_renewed_by_the_next() {
    let bed = Bed::new();
    // A quarter of a token of two minutes that owns a lease of ten.
    bed.role("app", &json!({"token_ttl": "30s"}));
    let postgres = database(&bed, "150s", "1h");
    workload(&bed, "Deployment", "deployments");
    let mut operator = bed.operator("a");
    bundle(&bed, "db");
    bed.until("db", "Synced");
    bed.patch(
        &format!("{BUNDLES}/db"),
        &json!({"spec": {"sync": {"restart": [{"kind": "Deployment", "name": "web"}]}}}),
    );
    bed.until("db", "Synced");
    let first = username(&bed, "db").unwrap();
    let version = bed.version(&format!("{SECRETS}/db"));
    let password = bed.content("db").unwrap()["password"].clone();
    let found = bed.until("db", "Synced");
    assert!(found["status"]["login"].is_string());
    assert_no_canary(
        &[("the bundle", found.to_string())],
        &[password.as_str().unwrap()],
    );
    for _ in 0..4 {
        operator = follow(&bed, operator);
        let until = Instant::now() + Duration::from_secs(9);
        while Instant::now() < until {
            assert_eq!(working(&bed, &postgres), first);
            sleep(Duration::from_millis(500));
        }
    }
    assert_eq!(bed.asked("database/creds/app"), 1);
    assert!(bed.asked("auth/token/renew-self") >= 2);
    assert_eq!(postgres.issued(), [first]);
    assert_eq!(bed.version(&format!("{SECRETS}/db")), version);
    assert_eq!(stamps(&bed, "deployments"), Value::Null);

    // A successor knows the token, so that it can be revoked.
    operator.kill();
    bed.kubernetes
        .api("DELETE", &format!("{BUNDLES}/db"), &Value::Null);
    let _operator = bed.operator("a");
    bed.until_gone("db");
    // The server answers before it has done it.
    eventually("the credential to end", SOON, || {
        postgres.issued().is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn before_the_owner_token_ends_for_good_there_is_another_whoever_was_killed() {
    let bed = Bed::new();
    bed.role("app", &json!({"token_ttl": "60s", "token_max_ttl": "90s"}));
    let postgres = database(&bed, "10m", "1h");
    let mut operator = bed.operator("a");
    bundle(&bed, "db");
    bed.until("db", "Synced");
    let mut seen = vec![username(&bed, "db").unwrap()];
    let look = |seen: &mut Vec<String>| {
        let now = working(&bed, &postgres);
        if !seen.contains(&now) {
            seen.push(now);
        }
    };
    for _ in 0..4 {
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            look(&mut seen);
            sleep(Duration::from_millis(300));
        }
        operator = follow(&bed, operator);
    }
    eventually("another credential", SOON, || {
        look(&mut seen);
        (seen.len() >= 2).then_some(())
    });
    // Whoever was killed between issue and journal has left one; each of the five operators would have asked.
    let asked = bed.asked("database/creds/app");
    assert!(
        asked <= 4,
        "{asked} were issued, of which {seen:?} were published"
    );
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn without_the_key_the_credential_is_replaced_before_it_ends() {
    let bed = Bed::new();
    bed.role("app", &json!({"token_ttl": "60s"}));
    let postgres = database(&bed, "10m", "1h");
    let operator = bed.operator("a");
    bundle(&bed, "db");
    bed.until("db", "Synced");
    let first = username(&bed, "db").unwrap();
    operator.kill();
    bed.kubernetes.api("DELETE", KEY, &Value::Null);
    let operator = bed.operator("a");
    operator.until_leading();
    sleep(Duration::from_secs(1));
    assert_eq!(bed.asked("database/creds/app"), 1);
    eventually("another credential", SOON, || {
        (working(&bed, &postgres) != first).then_some(())
    });

    // Neither can what nobody has the token of be revoked by a role that may not; it is named.
    operator.kill();
    bed.kubernetes.api("DELETE", KEY, &Value::Null);
    bed.kubernetes
        .api("DELETE", &format!("{BUNDLES}/db"), &Value::Null);
    let _operator = bed.operator("a");
    bed.until_gone("db");
    bed.until_event("db", "LeasesNotRevoked");
}
