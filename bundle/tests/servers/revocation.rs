//! What is owed to a server when the process ends.

use std::sync::Arc;
use std::time::Duration;

use envlatch_bundle::Mounted;
use envlatch_test_support::{Postgres, eventually};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::SOON;
use crate::bed::{Bed, Remembered, files, mount};
use crate::leases::{bundle, credentials, engine, renewed, valid_until};

/// One process of the plugin: a runtime that ends with all its tasks.
fn process<T>(work: impl Future<Output = T>) -> T {
    let runtime = Runtime::new().unwrap();
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

/// The server answers a revocation before it has ended the leases.
fn issued(postgres: &Postgres, number: usize) {
    eventually("that many credentials", SOON, || {
        (postgres.issued().len() == number).then_some(())
    });
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn what_could_not_be_revoked_is_left_to_the_next_process() {
    let bed = Bed::new();
    let postgres = engine(&bed);
    credentials(&bed, "app", "10m", "1h");
    bed.bundle("db", &bundle("app", "app"));
    let memory = Arc::<Remembered>::default();
    let volume = |name: &str| bed.volume(name, ("bundle", "db"));
    process(async {
        let bundles = bed.bundles_with(Arc::clone(&memory)).await;
        for name in ["done", "owed"] {
            files(mount(&bundles, &volume(name)).await.unwrap());
        }
        assert_eq!(postgres.issued().len(), 2);
        // The end of the process waits for what is under way.
        bundles.forget("csi-done", None);
        bundles.flush(SOON).await;
        assert_eq!(memory.len(), 0);
        issued(&postgres, 1);
        bed.vault.seal();
        bundles.forget("csi-owed", None);
        bundles.flush(Duration::from_secs(2)).await;
        assert_eq!(memory.len(), 1);
    });
    bed.vault.unseal();
    eventually("the server works again", SOON, || {
        (bed.vault.try_api("GET", "sys/mounts", &json!(null)).0 == 200).then_some(())
    });
    assert_eq!(postgres.issued().len(), 1);
    process(async {
        let bundles = bed.bundles_with(Arc::clone(&memory)).await;
        bundles.flush(SOON).await;
        assert_eq!(memory.len(), 0);
        issued(&postgres, 0);
    });
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn a_plugin_that_starts_renews_before_kubelet_calls() {
    let bed = Bed::new();
    let postgres = engine(&bed);
    credentials(&bed, "app", "10m", "1h");
    bed.bundle("db", &bundle("app", "app"));
    let volume = bed.volume("pod", ("bundle", "db"));
    let (user, state) = process(async {
        let bundles = bed.bundles().await;
        let (found, mounted) = files(mount(&bundles, &volume).await.unwrap());
        (found["username"].clone(), mounted.state.unwrap())
    });
    let (logins, then) = (
        bed.asked("auth/kubernetes/login"),
        valid_until(&postgres, &user),
    );
    process(async {
        let bundles = bed.bundles().await;
        // So that a renewal shows: the database keeps whole seconds.
        tokio::time::sleep(Duration::from_secs(1)).await;
        bundles.resume(&volume.volume_id, &state);
        renewed(&postgres, &user, &then);
        // What it resumed is revoked as if it had made it.
        bundles.forget(&volume.volume_id, Some(&state));
        bundles.flush(SOON).await;
        issued(&postgres, 0);
    });
    assert_eq!(bed.asked("auth/kubernetes/login"), logins);
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_token_that_pods_share_ends_with_its_last_volume_also_after_a_restart() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"password": "one"}));
    bed.bundle(
        "app",
        &json!({"role": "app", "entries": [{"name": "password", "path": "secret/data/app", "key": "password"}]}),
    );
    let names = ["first", "second", "third"];
    let volumes = names.map(|name| bed.volume(name, ("bundle", "app")));
    let revocations = || bed.asked("auth/token/revoke-self");
    let states = process(async {
        let bundles = bed.bundles().await;
        let mut states = Vec::new();
        for volume in &volumes {
            let (_, mounted) = files(mount(&bundles, volume).await.unwrap());
            states.push(mounted);
        }
        states
    });
    assert_eq!(revocations(), 0);
    process(async {
        let bundles = bed.bundles().await;
        for (volume, mounted) in volumes.iter().zip(&states) {
            bundles.resume(&volume.volume_id, mounted.state.as_ref().unwrap());
        }
        // One that kubelet has called about, and one that it has not: the third has the token still.
        let tampered = Mounted {
            intact: false,
            ..states[0].clone()
        };
        files(bundles.fetch(&volumes[0], Some(&tampered)).await.unwrap());
        for (volume, mounted) in volumes.iter().zip(&states).take(2) {
            bundles.forget(&volume.volume_id, mounted.state.as_ref());
            bundles.flush(SOON).await;
            assert_eq!(revocations(), 0, "{}", volume.volume_id);
        }
        bundles.forget(&volumes[2].volume_id, states[2].state.as_ref());
        bundles.flush(SOON).await;
        eventually("the token to be revoked", SOON, || {
            (revocations() == 1).then_some(())
        });
    });
    assert_eq!(bed.asked("auth/kubernetes/login"), 1);
}
