//! Dynamic database credentials: one per volume, kept alive, handed over before they end, gone with the pod.

use std::collections::BTreeMap;

use envlatch_bundle::{Bundles, Fetched, Mounted, VolumeRequest};
use envlatch_test_support::{Postgres, eventually};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::SOON;
use crate::bed::{Bed, events, files, mount};

/// A database whose credentials of role `app` are in bundle `db`.
fn database(bed: &Bed, ttl: &str, max_ttl: &str) -> Postgres {
    let postgres = engine(bed);
    credentials(bed, "app", ttl, max_ttl);
    bed.bundle("db", &bundle("app", "app"));
    postgres
}

/// A database that Vault may make users of.
pub(crate) fn engine(bed: &Bed) -> Postgres {
    let postgres = Postgres::start();
    bed.vault
        .api("POST", "sys/mounts/database", &json!({"type": "database"}));
    let config = json!({
        "plugin_name": "postgresql-database-plugin", "allowed_roles": "*",
        "connection_url": postgres.connection_url(),
        "username": postgres.superuser(), "password": postgres.password(),
    });
    bed.vault.api("POST", "database/config/main", &config);
    postgres
}

/// A role of the database.
pub(crate) fn credentials(bed: &Bed, name: &str, ttl: &str, max_ttl: &str) {
    let create =
        "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';";
    let role = json!({"db_name": "main", "creation_statements": [create], "default_ttl": ttl, "max_ttl": max_ttl});
    bed.vault
        .api("POST", &format!("database/roles/{name}"), &role);
}

/// Until when the database lets a user in, by the second; empty when there is no such user.
pub(crate) fn valid_until(postgres: &Postgres, user: &str) -> String {
    let sql = format!("SELECT rolvaliduntil FROM pg_roles WHERE rolname = '{user}'");
    postgres.query(&sql)
}

/// Waits until the end of a user is put off, which was `then`.
pub(crate) fn renewed(postgres: &Postgres, user: &str, then: &str) {
    eventually("the credential to be renewed", SOON, || {
        let now = valid_until(postgres, user);
        (!now.is_empty() && now != then).then_some(())
    });
}

/// A bundle of a role's credentials.
pub(crate) fn bundle(role: &str, credentials: &str) -> Value {
    let entry = |key: &str| json!({"name": key, "path": format!("database/creds/{credentials}"), "key": key});
    json!({"role": role, "entries": [entry("username"), entry("password")]})
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
async fn each_volume_has_a_credential_that_is_renewed_and_revoked() {
    let bed = Bed::new();
    let postgres = database(&bed, "36s", "1h");
    let bundles = bed.bundles().await;
    let (one, other) = (
        bed.volume("one", ("bundle", "db")),
        bed.volume("other", ("bundle", "db")),
    );
    let (files_one, mounted) = files(mount(&bundles, &one).await.unwrap());
    let (files_other, _) = files(mount(&bundles, &other).await.unwrap());
    let users = [&files_one["username"], &files_other["username"]];
    assert_ne!(users[0], users[1]);
    let issued = bed.asked("database/creds/app");

    // Both are renewed, without a call from kubelet.
    for (user, then) in users.map(|user| (user, valid_until(&postgres, user))) {
        renewed(&postgres, user, &then);
    }
    assert_eq!(bed.asked("database/creds/app"), issued);

    // Another process takes over with what was journalled, and issues nothing.
    let restarted = bed.bundles().await;
    drop(bundles);
    let then = valid_until(&postgres, users[0]);
    // So that the next renewal shows: the database keeps whole seconds.
    sleep(Duration::from_secs(1)).await;
    let tampered = Mounted {
        intact: false,
        ..mounted.clone()
    };
    let (again, mounted) = files(restarted.fetch(&one, Some(&tampered)).await.unwrap());
    assert_eq!(again, files_one);
    renewed(&postgres, users[0], &then);
    assert_eq!(bed.asked("database/creds/app"), issued);

    // The pod goes, and with it its credential; a policy on sys/leases/revoke is not needed.
    restarted.forget(&one.volume_id, mounted.state.as_ref());
    eventually("the credential to be gone", SOON, || {
        (!postgres.issued().contains(&files_one["username"])).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
async fn a_pod_that_stays_keeps_its_credential_when_its_sibling_goes() {
    let bed = Bed::new();
    let postgres = database(&bed, "10m", "1h");
    let bundles = bed.bundles().await;
    let (one, other) = (
        bed.volume("one", ("bundle", "db")),
        bed.volume("other", ("bundle", "db")),
    );
    let (gone, state) = files(mount(&bundles, &one).await.unwrap());
    let (stays, _) = files(mount(&bundles, &other).await.unwrap());
    bundles.forget(&one.volume_id, state.state.as_ref());
    eventually("the credential to be gone", SOON, || {
        (postgres.issued() == [stays["username"].clone()]).then_some(())
    });
    assert_ne!(gone["username"], stays["username"]);

    // Known from the journal alone, a volume's credential is revoked too.
    let (_, state) = files(
        bundles
            .fetch(&bed.volume("third", ("bundle", "db")), None)
            .await
            .unwrap(),
    );
    bed.bundles()
        .await
        .forget("csi-third", state.state.as_ref());
    eventually("the credential to be gone", SOON, || {
        (postgres.issued() == [stays["username"].clone()]).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
async fn before_the_maximum_comes_another_credential_and_the_old_one_still_works() {
    let bed = Bed::new();
    let postgres = database(&bed, "36s", "54s");
    let bundles = bed.bundles().await;
    let volume = bed.volume("pod", ("bundle", "db"));
    let (old, mounted) = files(mount(&bundles, &volume).await.unwrap());
    let deadline = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < deadline, "no other credential came");
        if let fetched @ Fetched::Files { .. } =
            bundles.fetch(&volume, Some(&mounted)).await.unwrap()
        {
            let issued = postgres.issued();
            let (new, _) = files(fetched);
            assert_ne!(new["username"], old["username"]);
            assert!(
                issued.contains(&old["username"]) && issued.contains(&new["username"]),
                "{issued:?}"
            );
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
async fn a_credential_whose_files_never_took_effect_is_revoked() {
    let bed = Bed::new();
    let postgres = database(&bed, "10m", "1h");
    let volume = bed.volume("pod", ("bundle", "db"));
    // Two processes, one after the other, issued one each; the second was killed before it had renamed anything.
    let (in_force, mounted) = files(mount(&bed.bundles().await, &volume).await.unwrap());
    let (lost, abandoned) = files(mount(&bed.bundles().await, &volume).await.unwrap());
    assert_ne!(in_force["username"], lost["username"]);
    let bundles = bed.bundles().await;
    let mounted = Mounted {
        abandoned: abandoned.state,
        ..mounted
    };
    assert!(matches!(
        bundles.fetch(&volume, Some(&mounted)).await,
        Ok(Fetched::Unchanged)
    ));
    eventually("the lost credential to be gone", SOON, || {
        (postgres.issued() == [in_force["username"].clone()]).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
async fn an_engine_that_takes_longer_than_an_attempt_is_waited_for() {
    let bed = Bed::new();
    let postgres = database(&bed, "10m", "1h");
    let role = bed.vault.api("GET", "database/roles/app", &json!(null));
    let mut role = role["data"].clone();
    role["creation_statements"]
        .as_array_mut()
        .unwrap()
        .push(json!("SELECT pg_sleep(12);"));
    bed.vault.api("POST", "database/roles/app", &role);
    let bundles = bed.bundles().await;
    let volume = bed.volume("pod", ("bundle", "db"));
    let (found, _) = files(mount(&bundles, &volume).await.unwrap());
    assert_eq!(postgres.issued(), [found["username"].clone()]);
    assert_eq!(bed.asked("database/creds/app"), 1);
    eventually("the user to hear of it", SOON, || {
        let heard = events(&bed)
            .iter()
            .any(|event| event["reason"] == "VaultSlow" && event["regarding"]["name"] == "pod");
        heard.then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
async fn what_somebody_else_revoked_is_replaced() {
    let bed = Bed::new();
    let postgres = database(&bed, "36s", "1h");
    let bundles = bed.bundles().await;
    let volume = bed.volume("pod", ("bundle", "db"));
    let (mut before, mut mounted) = files(mount(&bundles, &volume).await.unwrap());
    for revoked in ["database/creds/app", "auth/kubernetes/login"] {
        let path = format!("sys/leases/revoke-prefix/{revoked}");
        bed.vault.api("POST", &path, &json!({}));
        eventually("the credential to be gone", SOON, || {
            (!postgres.issued().contains(&before["username"])).then_some(())
        });
        let again = fresh(&bundles, &volume, &mut mounted).await;
        assert_ne!(again["username"], before["username"]);
        assert_eq!(postgres.issued(), [again["username"].clone()]);
        before.clone_from(&again);
    }
}

/// The next files that are others, asked for as kubelet does.
async fn fresh(
    bundles: &Bundles,
    volume: &VolumeRequest,
    mounted: &mut Mounted,
) -> BTreeMap<String, String> {
    let deadline = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < deadline, "nothing new");
        if let Ok(fetched @ Fetched::Files { .. }) = bundles.fetch(volume, Some(mounted)).await {
            let (found, now) = files(fetched);
            *mounted = now;
            return found;
        }
        sleep(Duration::from_millis(200)).await;
    }
}
