//! A program that connects with what its files say, again and again, while credentials and tokens reach their maximum.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use envlatch_bundle::{Bundles, Fetched, Mounted, VolumeRequest};
use envlatch_test_support::Postgres;
use serde_json::json;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, interval, sleep};

use crate::SOON;
use crate::bed::{Bed, files, mount};
use crate::leases::{bundle, credentials, engine};

/// A volume as the node half keeps it.
pub(crate) struct Kept {
    request: VolumeRequest,
    latest: Mutex<(BTreeMap<String, String>, Mounted)>,
}

// === impl Kept ===

impl Kept {
    pub(crate) async fn mount(bundles: &Bundles, request: VolumeRequest) -> Arc<Self> {
        let latest = files(mount(bundles, &request).await.unwrap());
        let latest = Mutex::new(latest);
        Arc::new(Self { request, latest })
    }

    /// By name.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        self.latest.lock().unwrap().0.clone()
    }

    /// What happens when kubelet calls, or when it is due.
    pub(crate) async fn refresh(&self, bundles: &Bundles) {
        let mounted = self.latest.lock().unwrap().1.clone();
        if let Ok(fetched @ Fetched::Files { .. }) =
            bundles.fetch(&self.request, Some(&mounted)).await
        {
            *self.latest.lock().unwrap() = files(fetched);
        }
    }

    /// Connects until `end`, and until it was two users, which a slow machine needs longer for; the users, in any order.
    async fn connect(&self, postgres: &Arc<Postgres>, end: Instant) -> BTreeSet<String> {
        let (mut users, mut refused) = (BTreeSet::new(), None);
        while Instant::now() < end || (users.len() < 2 && Instant::now() < end + SOON) {
            let files = self.files();
            let (user, password) = (files["username"].clone(), files["password"].clone());
            let (postgres, name) = (Arc::clone(postgres), user.clone());
            let accepted = spawn_blocking(move || postgres.accepts(&name, &password));
            if accepted.await.unwrap() {
                users.insert(user);
            } else {
                // On a slow machine a user can end between the look at the files and the connection; at the next look there is another.
                assert!(
                    refused.as_ref() != Some(&user),
                    "{} has {user}, which is gone; it was {users:?} before",
                    self.request.volume_id
                );
                refused = Some(user);
            }
            sleep(Duration::from_millis(150)).await;
        }
        users
    }
}

/// What lives how long, in seconds, and how often kubelet calls, if it does. A renewal or a replacement may come twelve seconds late.
struct Case {
    name: &'static str,
    lease: (u32, u32),
    token: (u32, u32),
    calls: Option<u64>,
}

const LONG: (u32, u32) = (3600, 86400);

const CASES: [Case; 4] = [
    Case {
        name: "rarely-called",
        lease: (36, 54),
        token: LONG,
        calls: Some(20),
    },
    Case {
        name: "never-called",
        lease: (36, 54),
        token: LONG,
        calls: None,
    },
    Case {
        name: "short-token",
        lease: LONG,
        token: (36, 54),
        calls: None,
    },
    Case {
        name: "no-renewal",
        lease: (54, 54),
        token: LONG,
        calls: None,
    },
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
async fn whoever_connects_again_and_again_is_never_refused() {
    let bed = Bed::new();
    let postgres = Arc::new(engine(&bed));
    let bundles = Arc::new(bed.bundles().await);
    let volumes = Arc::<Mutex<BTreeMap<String, Arc<Kept>>>>::default();
    let mut tasks = JoinSet::new();
    let (clock, due) = (Arc::clone(&bundles), Arc::clone(&volumes));
    tasks.spawn(async move {
        loop {
            let volume_id = clock.due().await;
            let volume = Arc::clone(&due.lock().unwrap()[&volume_id]);
            let bundles = Arc::clone(&clock);
            // As in the plugin, none waits for another.
            tokio::spawn(async move { volume.refresh(&bundles).await });
        }
    });
    for Case {
        name,
        lease: (ttl, max_ttl),
        token: (token_ttl, token_max_ttl),
        calls,
    } in CASES
    {
        credentials(&bed, name, &format!("{ttl}s"), &format!("{max_ttl}s"));
        let token = json!({"token_ttl": token_ttl, "token_max_ttl": token_max_ttl});
        bed.role(name, &token);
        bed.bundle(name, &bundle(name, name));
        let volume = Kept::mount(&bundles, bed.volume(name, ("bundle", name))).await;
        let volume_id = volume.request.volume_id.clone();
        volumes
            .lock()
            .unwrap()
            .insert(volume_id, Arc::clone(&volume));
        if let Some(calls) = calls {
            let bundles = Arc::clone(&bundles);
            tasks.spawn(async move {
                let mut calls = interval(Duration::from_secs(calls));
                loop {
                    calls.tick().await;
                    volume.refresh(&bundles).await;
                }
            });
        }
    }
    let volumes = volumes.lock().unwrap().clone();
    let end = Instant::now() + Duration::from_secs(61);
    let connecting = volumes
        .values()
        .map(|volume| volume.connect(&postgres, end));
    for (volume, users) in volumes
        .keys()
        .zip(futures_util::future::join_all(connecting).await)
    {
        println!("{volume} was {} users", users.len());
        assert!(
            (2..=4).contains(&users.len()),
            "{volume} was {} users until the first was gone",
            users.len()
        );
    }
}
