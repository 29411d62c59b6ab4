//! Dynamic database credentials in Secrets: one at a time, renewed, replaced before they end, revoked when they are not wanted.

use envlatch_test_support::{Postgres, eventually};
use serde_json::{Value, json};

use crate::bed::{BUNDLES, Bed, SECRETS, SOON, condition};

pub(crate) fn database(bed: &Bed, ttl: &str, max_ttl: &str) -> Postgres {
    let postgres = Postgres::start();
    bed.vault
        .api("POST", "sys/mounts/database", &json!({"type": "database"}));
    let config = json!({
        "plugin_name": "postgresql-database-plugin", "allowed_roles": "*",
        "connection_url": postgres.connection_url(),
        "username": postgres.superuser(), "password": postgres.password(),
    });
    bed.vault.api("POST", "database/config/main", &config);
    let create =
        "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';";
    let role = json!({"db_name": "main", "creation_statements": [create], "default_ttl": ttl, "max_ttl": max_ttl});
    bed.vault.api("POST", "database/roles/app", &role);
    postgres
}

pub(crate) fn bundle(bed: &Bed, name: &str) {
    let entries = json!([
        {"name": "username", "path": "database/creds/app", "key": "username"},
        {"name": "password", "path": "database/creds/app", "key": "password"},
    ]);
    bed.sync(name, name, &json!({"entries": entries}), &json!({}));
}

pub(crate) fn username(bed: &Bed, secret: &str) -> Option<String> {
    Some(bed.content(secret)?["username"].as_str()?.to_owned())
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn a_credential_is_renewed_restored_and_revoked() {
    let bed = Bed::new();
    let postgres = database(&bed, "36s", "1h");
    let _operator = bed.operator("a");
    bundle(&bed, "db");
    let found = bed.until("db", "Synced");
    assert_eq!(condition(&found, "LeaseHealthy")["status"], "True");
    assert!(found["status"]["leaseExpires"].is_string());
    assert_eq!(found["status"]["leases"].as_array().unwrap().len(), 1);
    let first = username(&bed, "db").unwrap();
    // The second renewal comes when it would have ended without the first one.
    eventually("two renewals", SOON, || {
        (bed.asked("sys/leases/renew") >= 2).then_some(())
    });
    assert_eq!(postgres.issued(), std::slice::from_ref(&first));
    assert_eq!(bed.asked("database/creds/app"), 1);

    // What somebody changed is restored with the same credential; a deleted Secret gets another one, and the old one ends.
    bed.patch(
        &format!("{SECRETS}/db"),
        &json!({"data": {"username": "YmFk"}}),
    );
    eventually("the Secret to be restored", SOON, || {
        (username(&bed, "db")? == first).then_some(())
    });
    assert_eq!(bed.asked("database/creds/app"), 1);
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/db"), &Value::Null);
    let second = eventually("another credential", SOON, || username(&bed, "db"));
    assert_ne!(second, first);
    eventually("the old credential to end", SOON, || {
        (postgres.issued() == std::slice::from_ref(&second)).then_some(())
    });

    bed.kubernetes
        .api("DELETE", &format!("{BUNDLES}/db"), &Value::Null);
    eventually("the credential to end with its bundle", SOON, || {
        postgres.issued().is_empty().then_some(())
    });
    bed.until_gone("db");
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn before_the_maximum_comes_another_credential() {
    let bed = Bed::new();
    // Its first renewal gives less than was asked for, so that it is replaced half of its time before it ends.
    let postgres = database(&bed, "45s", "65s");
    let _operator = bed.operator("a");
    bundle(&bed, "db");
    bed.until("db", "Synced");
    let first = username(&bed, "db").unwrap();
    eventually("another credential", SOON, || {
        let now = username(&bed, "db")?;
        if now == first {
            return None;
        }
        let issued = postgres.issued();
        assert!(
            issued.contains(&now) && issued.contains(&first),
            "{issued:?}"
        );
        Some(())
    });
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn what_somebody_else_revoked_is_replaced() {
    let bed = Bed::new();
    let postgres = database(&bed, "36s", "1h");
    let _operator = bed.operator("a");
    bundle(&bed, "db");
    bed.until("db", "Synced");
    let first = username(&bed, "db").unwrap();
    bed.vault.api(
        "POST",
        "sys/leases/revoke-prefix/database/creds/app",
        &json!({}),
    );
    let second = eventually("another credential", SOON, || {
        username(&bed, "db").filter(|now| *now != first)
    });
    assert_eq!(postgres.issued(), [second]);
    // A server that is slow to answer may be asked once more.
    assert!((2..=3).contains(&bed.asked("database/creds/app")));
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn without_finalizers_bundles_go_without_an_operator() {
    let bed = Bed::new();
    let postgres = database(&bed, "10m", "1h");
    let operator = bed.operator("a");
    bundle(&bed, "db");
    bed.until("db", "Synced");
    operator.kill();
    let secret = bed.version(&format!("{SECRETS}/db"));
    let mut hook = bed.operator_with("hook", &["--remove-finalizers"]);
    eventually("the program to end", SOON, || {
        hook.has_ended().then_some(())
    });
    assert_eq!(bed.version(&format!("{SECRETS}/db")), secret);
    assert_eq!(
        postgres.issued().len(),
        1,
        "programs go on with what they have"
    );
    bed.kubernetes
        .api("DELETE", &format!("{BUNDLES}/db"), &Value::Null);
    let (status, _) = bed
        .kubernetes
        .send("GET", &format!("{BUNDLES}/db"), &Value::Null);
    assert_eq!(status, 404);
    assert!(bed.content("db").is_some());
}
