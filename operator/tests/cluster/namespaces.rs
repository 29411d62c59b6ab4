//! What becomes of leased credentials when their whole namespace is deleted, by the real controllers: they remove the operator's rights in
//! the namespace together with everything else, in whatever order.

use envlatch_test_support::{Namespace, Postgres, eventually};
use serde_json::{Value, json};

use crate::bed::{Operator, SOON, bundle, cluster, get, team, until};

/// How many bundles: one alone could be faster than the controllers.
const BUNDLES: usize = 10;

/// A database that the shared Vault makes users of, for the accounts of a namespace.
fn database(team: &Namespace) -> Postgres {
    let (postgres, name, vault) = (Postgres::start(), team.name(), cluster().vault());
    let mount = format!("database-{name}");
    vault.api(
        "POST",
        &format!("sys/mounts/{mount}"),
        &json!({"type": "database"}),
    );
    let config = json!({
        "plugin_name": "postgresql-database-plugin", "allowed_roles": "*",
        "connection_url": postgres.connection_url(),
        "username": postgres.superuser(), "password": postgres.password(),
    });
    vault.api("POST", &format!("{mount}/config/main"), &config);
    let create =
        "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';";
    let role = json!({"db_name": "main", "creation_statements": [create], "default_ttl": "1h"});
    vault.api("POST", &format!("{mount}/roles/app"), &role);
    let policy = format!("path \"{mount}/creds/app\" {{ capabilities = [\"read\"] }}");
    vault.policy(name, &policy);
    postgres
}

/// Bundles of a credential each, in sync.
fn leased(team: &Namespace, postgres: &Postgres) {
    let path = format!("database-{}/creds/app", team.name());
    let entry = |key: &str| json!({"name": key, "path": path, "key": key});
    let entries = json!({"entries": [entry("username"), entry("password")]});
    let names: Vec<String> = (0..BUNDLES).map(|n| format!("db-{n}")).collect();
    for name in &names {
        bundle(team, name, &entries, &json!({}));
    }
    for name in &names {
        until(team, name, "Synced");
        let finalizers = &get(team, "secretbundles", name)["metadata"]["finalizers"];
        assert_eq!(*finalizers, json!(["envlatch.io/leases"]));
    }
    assert_eq!(postgres.issued().len(), BUNDLES);
}

fn path_of(team: &Namespace) -> String {
    format!("/api/v1/namespaces/{}", team.name())
}

#[track_caller]
fn until_gone(team: &Namespace, postgres: &Postgres) {
    eventually("the namespace to be gone", SOON, || {
        let (status, _) = cluster().try_request("GET", &path_of(team), &Value::Null);
        (status == 404).then_some(())
    });
    eventually("every credential to end", SOON, || {
        postgres.issued().is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs the cluster"]
fn a_deleted_namespace_goes_and_its_credentials_end() {
    let team = team("goes", &json!({}));
    let postgres = database(&team);
    let _operator = Operator::install(&team, &[]);
    leased(&team, &postgres);
    cluster().request("DELETE", &path_of(&team), &Value::Null);
    until_gone(&team, &postgres);
}

#[test]
#[ignore = "needs the cluster"]
fn a_namespace_that_is_deleted_while_no_operator_runs_goes_when_there_is_one() {
    let team = team("waits", &json!({}));
    let postgres = database(&team);
    let operator = Operator::install(&team, &[]);
    leased(&team, &postgres);
    operator.scale(0);
    cluster().request("DELETE", &path_of(&team), &Value::Null);
    let role = format!(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
        team.name()
    );
    eventually("the operator's Role to be gone", SOON, || {
        let roles = cluster().request("GET", &role, &Value::Null);
        roles["items"].as_array().unwrap().is_empty().then_some(())
    });
    assert_eq!(postgres.issued().len(), BUNDLES);
    operator.scale(1);
    until_gone(&team, &postgres);
}
