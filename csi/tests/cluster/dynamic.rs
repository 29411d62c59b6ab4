//! Credentials of a database: one for each pod, renewed while it lives, gone when it goes.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use envlatch_test_support::{Cluster, Namespace, Pod, Postgres, eventually};
use serde_json::json;

use crate::bed::{SOON, cluster, shell, volume};

/// How long the server lets a credential live without renewal, in seconds: a renewal may come twelve seconds late.
const LEASE: u64 = 36;

/// The database, known to the shared Vault as `database/`.
fn database(cluster: &Cluster) -> &'static Postgres {
    static DATABASE: OnceLock<Postgres> = OnceLock::new();
    DATABASE.get_or_init(|| {
        let database = Postgres::start();
        let vault = cluster.vault();
        vault.api("POST", "sys/mounts/database", &json!({"type": "database"}));
        let connection = json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": database.connection_url(),
            "username": database.superuser(),
            "password": database.password(),
        });
        vault.api("POST", "database/config/app", &connection);
        database
    })
}

/// A database role of the namespace, and a bundle of its credentials. The policy has no right on `sys/leases/revoke`.
fn credentials(namespace: &Namespace, lease: u64, maximum: &str) {
    let (name, vault) = (namespace.name(), cluster().vault());
    let role = json!({
        "db_name": "app",
        "creation_statements":
            "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
        "default_ttl": format!("{lease}s"),
        "max_ttl": maximum,
    });
    vault.api("POST", &format!("database/roles/{name}"), &role);
    namespace.put(vault, "static", &json!({"value": "x"}));
    let policy = format!("path \"database/creds/{name}\" {{ capabilities = [\"read\"] }}");
    vault.policy(name, &policy);
    let entry =
        |key: &str| json!({"name": key, "path": format!("database/creds/{name}"), "key": key});
    namespace.apply(json!({
        "apiVersion": "envlatch.io/v1alpha1",
        "kind": "SecretBundle",
        "metadata": {"name": "app"},
        "spec": {"role": name, "refresh": "10s", "entries": [entry("username"), entry("password")]},
    }));
}

fn pod<'a>(namespace: &'a Namespace, name: &str) -> Pod<'a> {
    let script = "cat /mnt/secrets/username; echo; sleep 600";
    shell(
        namespace,
        name,
        volume("secrets", &json!({"bundle": "app"})),
        script,
    )
}

/// The database user that the pod's files have now, and its password.
fn login(pod: &Pod<'_>) -> (String, String) {
    // A generation that is replaced between the steps of one look is gone for it, so a look is repeated once.
    let script = "look() { cd -P /mnt/secrets/..data && user=$(cat username) && password=$(cat password); }; \
        look || look && printf '%s\\n%s' \"$user\" \"$password\"";
    let output = pod.exec(&["sh", "-c", script]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (user, password) = text.split_once('\n').unwrap();
    (user.to_owned(), password.to_owned())
}

fn user(pod: &Pod<'_>) -> String {
    login(pod).0
}

/// The users of the database that Vault made for a role.
fn issued(database: &Postgres, namespace: &Namespace) -> BTreeSet<String> {
    let part = format!("-{}", &namespace.name()[..8]);
    let users = database.issued().into_iter();
    users.filter(|user| user.contains(&part)).collect()
}

/// Until when the database lets a user in; empty when there is no such user.
fn valid_until(database: &Postgres, user: &str) -> String {
    let sql = format!("SELECT rolvaliduntil FROM pg_roles WHERE rolname = '{user}'");
    database.query(&sql)
}

#[test]
#[ignore = "needs the cluster"]
fn each_pod_has_a_credential_of_its_own_for_as_long_as_it_lives() {
    let cluster = cluster();
    let database = database(cluster);
    let namespace = cluster.namespace("dbpods");
    credentials(&namespace, LEASE, "1h");
    let (stays, goes) = (pod(&namespace, "stays"), pod(&namespace, "goes"));
    let (kept, revoked) = (user(stays.runs()), user(goes.runs()));
    assert_ne!(kept, revoked);
    assert_eq!(issued(database, &namespace).len(), 2);
    let then = valid_until(database, &kept);
    goes.delete(Duration::ZERO);
    eventually("the credential of a pod that is gone is gone", SOON, || {
        (!database.issued().contains(&revoked)).then_some(())
    });
    // The other pod has the same account and the same role.
    eventually("the other's credential is renewed", SOON, || {
        (valid_until(database, &kept) != then).then_some(())
    });
    assert_eq!(
        user(&stays),
        kept,
        "a live lease is renewed, not issued again"
    );
    assert_eq!(issued(database, &namespace), BTreeSet::from([kept.clone()]));
    stays.delete(Duration::ZERO);
    eventually("no credential is left", SOON, || {
        issued(database, &namespace).is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs the cluster"]
fn a_program_that_connects_again_and_again_outlives_the_maximum() {
    const MAXIMUM: u64 = 54;
    const RUN: Duration = Duration::from_secs(90);
    let cluster = cluster();
    let database = database(cluster);
    let namespace = cluster.namespace("dbmaximum");
    credentials(&namespace, LEASE, &format!("{MAXIMUM}s"));
    let pod = pod(&namespace, "app");
    pod.runs();
    let (begin, mut users, mut refused) = (Instant::now(), BTreeSet::new(), None);
    while begin.elapsed() < RUN {
        let (user, password) = login(&pod);
        if database.accepts(&user, &password) {
            users.insert(user);
        } else {
            // On a slow machine a user can end between the look at the files and the connection; at the next look there is another.
            assert!(
                refused.as_ref() != Some(&user),
                "after {:?} the file names {user}, which is gone; before, it was {users:?}",
                begin.elapsed()
            );
            refused = Some(user);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    println!("{} users in {RUN:?}", users.len());
    assert!(
        (2..=5).contains(&users.len()),
        "one for each maximum, but there were {users:?}"
    );
}
