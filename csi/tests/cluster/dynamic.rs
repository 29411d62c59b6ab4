//! Credentials of a database: one for each pod, renewed while it lives, gone when it goes.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use envlatch_test_support::{Cluster, Namespace, Pod, Postgres, eventually};
use serde_json::json;

use crate::bed::{cluster, shell, volume};

/// How long the server lets a credential live without renewal, in seconds.
const LEASE: u64 = 20;

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
    let script = "cd -P /mnt/secrets/..data && cat username && echo && cat password";
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
    goes.delete(Duration::ZERO);
    eventually(
        "the credential of a pod that is gone is gone",
        Duration::from_secs(60),
        || (!database.issued().contains(&revoked)).then_some(()),
    );
    // Longer than a credential lives that nobody renews; the other pod has the same account and the same role.
    std::thread::sleep(Duration::from_secs(LEASE + 10));
    assert_eq!(
        user(&stays),
        kept,
        "a live lease is renewed, not issued again"
    );
    assert_eq!(issued(database, &namespace), BTreeSet::from([kept.clone()]));
    stays.delete(Duration::ZERO);
    eventually("no credential is left", Duration::from_secs(60), || {
        issued(database, &namespace).is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs the cluster"]
fn a_program_that_connects_again_and_again_outlives_the_maximum() {
    const MAXIMUM: u64 = 30;
    let cluster = cluster();
    let database = database(cluster);
    let namespace = cluster.namespace("dbmaximum");
    credentials(&namespace, LEASE, &format!("{MAXIMUM}s"));
    let pod = pod(&namespace, "app");
    pod.runs();
    let (begin, mut users) = (Instant::now(), BTreeSet::new());
    while begin.elapsed() < Duration::from_secs(3 * MAXIMUM) {
        let (user, password) = login(&pod);
        assert!(
            database.accepts(&user, &password),
            "after {:?} the file names {user}, which is gone; before, it was {users:?}",
            begin.elapsed()
        );
        users.insert(user);
        std::thread::sleep(Duration::from_millis(300));
    }
    println!("{} users in {} s", users.len(), 3 * MAXIMUM);
    assert!(
        (3..=8).contains(&users.len()),
        "one for each maximum, but there were {users:?}"
    );
}
