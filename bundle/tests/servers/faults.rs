//! Servers that are frozen, sealed or away.

use std::time::{Duration, Instant};

use envlatch_bundle::{Code, Fetched};
use envlatch_test_support::{canary, find_canary};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::SOON;
use crate::bed::{Bed, events, files, mount};

fn bed(value: &str) -> Bed {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"password": value}));
    bed.bundle(
        "app",
        &json!({"role": "app", "refresh": "10s", "entries": [
            {"name": "password", "path": "secret/data/app", "key": "password"},
        ]}),
    );
    bed
}

fn about_vault(bed: &Bed) -> Option<Value> {
    let mut events = events(bed).into_iter();
    events.find(|event| event["reason"] == "VaultUnreachable")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn a_first_mount_is_held_while_the_server_is_frozen_and_the_user_hears_of_it() {
    let secret = canary();
    let bed = bed(&secret);
    let bundles = bed.bundles().await;
    let volume = bed.volume("pod", ("bundle", "app"));
    bed.vault.freeze();
    let start = Instant::now();
    let thaw = async {
        while about_vault(&bed).is_none() {
            assert!(start.elapsed() < SOON, "no event");
            sleep(Duration::from_millis(200)).await;
        }
        let heard = start.elapsed();
        sleep(Duration::from_secs(6)).await;
        bed.vault.thaw();
        (heard, Instant::now())
    };
    let (fetched, (heard, thawed)) = tokio::join!(mount(&bundles, &volume), thaw);
    println!(
        "first event after {heard:?}, files {:?} after the thaw",
        thawed.elapsed()
    );
    assert!(heard < Duration::from_secs(50), "{heard:?}");
    assert_eq!(files(fetched.unwrap()).0["password"], secret);
    let event = about_vault(&bed).unwrap();
    assert_eq!(event["regarding"]["name"], "pod");
    assert_eq!(
        find_canary(json!(events(&bed)).to_string().as_bytes(), &[&secret]),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn a_sealed_server_leaves_the_files_and_heals() {
    let bed = bed("one");
    let bundles = bed.bundles().await;
    let volume = bed.volume("pod", ("bundle", "app"));
    let (_, mounted) = files(mount(&bundles, &volume).await.unwrap());
    bed.vault.put_kv2("app", &json!({"password": "two"}));
    bed.vault.seal();
    sleep(Duration::from_secs(12)).await;
    let problem = bundles.fetch(&volume, Some(&mounted)).await.unwrap_err();
    let failed = Instant::now();
    assert_eq!(
        (problem.code, problem.reason),
        (Code::Unavailable, "VaultSealed")
    );
    let stale = bundles.staleness();
    assert_eq!(stale.failing, 1, "{stale:?}");
    assert!(stale.oldest_failing >= Duration::from_secs(11), "{stale:?}");
    // It is not asked again at once.
    let again = bundles.fetch(&volume, Some(&mounted)).await;
    assert!(
        matches!(again, Ok(Fetched::Unchanged)) || failed.elapsed() > Duration::from_secs(4),
        "{again:?}"
    );
    bed.vault.unseal();
    let deadline = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < deadline, "it did not heal");
        if let Ok(fetched @ Fetched::Files { .. }) = bundles.fetch(&volume, Some(&mounted)).await {
            assert_eq!(files(fetched).0["password"], "two");
            let fresh = bundles.staleness();
            assert_eq!(fresh.failing, 0, "{fresh:?}");
            assert!(fresh.oldest < stale.oldest, "{fresh:?}");
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn while_the_api_server_is_away_known_volumes_go_on() {
    let bed = bed("one");
    let bundles = bed.bundles().await;
    let volume = bed.volume("pod", ("bundle", "app"));
    let unseen = bed.volume("unseen", ("bundle", "other"));
    let (_, mounted) = files(mount(&bundles, &volume).await.unwrap());
    let logins = bed.asked("auth/kubernetes/login");
    bed.kubernetes.freeze();
    bed.vault.put_kv2("app", &json!({"password": "two"}));
    sleep(Duration::from_secs(12)).await;
    let (found, mounted) = files(bundles.fetch(&volume, Some(&mounted)).await.unwrap());
    assert_eq!(found["password"], "two");

    // A plugin that was restarted meanwhile knows the class and the store from the journal, and the token too.
    let restarted = bed.bundles().await;
    assert!(matches!(
        restarted.fetch(&volume, Some(&mounted)).await,
        Ok(Fetched::Unchanged)
    ));
    bed.vault.put_kv2("app", &json!({"password": "three"}));
    sleep(Duration::from_secs(12)).await;
    let (found, _) = files(restarted.fetch(&volume, Some(&mounted)).await.unwrap());
    assert_eq!(found["password"], "three");
    assert_eq!(bed.asked("auth/kubernetes/login"), logins);

    let problem = restarted.fetch(&unseen, None).await.unwrap_err();
    assert_eq!(problem.code, Code::Unavailable);
    assert!(
        problem.message.contains("was never seen on this node"),
        "{problem}"
    );
    bed.kubernetes.thaw();
    let problem = mount(&restarted, &unseen).await.unwrap_err();
    assert_eq!(
        (problem.code, problem.reason),
        (Code::NotFound, "ClassNotFound")
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn a_shared_token_that_somebody_else_revoked_is_replaced() {
    let bed = bed("one");
    let bundles = bed.bundles().await;
    let volume = bed.volume("pod", ("bundle", "app"));
    let (_, mounted) = files(mount(&bundles, &volume).await.unwrap());
    bed.vault.put_kv2("app", &json!({"password": "two"}));
    let revoke = "sys/leases/revoke-prefix/auth/kubernetes/login";
    bed.vault.api("POST", revoke, &json!({}));
    let deadline = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < deadline, "it did not heal");
        // No refresh fails: another login is made at once.
        if let fetched @ Fetched::Files { .. } =
            bundles.fetch(&volume, Some(&mounted)).await.unwrap()
        {
            assert_eq!(files(fetched).0["password"], "two");
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
}
