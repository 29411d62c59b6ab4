//! A server that says how long it wants to be left alone. Which request comes when is what a real one does not show.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use envlatch_bundle::Mounted;
use envlatch_test_support::{Answer, ScriptedServer};
use serde_json::json;
use tokio::time::sleep;

use crate::bed::{Bed, files, mount};

/// Longer than one attempt of a first mount.
const PAUSE: Duration = Duration::from_secs(11);

/// What was asked when, and until when nothing is answered.
#[derive(Default)]
struct Seen {
    asked: Vec<(Instant, String)>,
    closed: Option<Instant>,
}

/// A server with one token for everybody, and secrets that name their path.
fn server() -> (ScriptedServer, Arc<Mutex<Seen>>) {
    let seen = Arc::<Mutex<Seen>>::default();
    let record = Arc::clone(&seen);
    let server = ScriptedServer::http(move |request| {
        let mut seen = record.lock().unwrap();
        seen.asked.push((Instant::now(), request.path.clone()));
        let left = seen
            .closed
            .map(|then| then.saturating_duration_since(Instant::now()))
            .filter(|left| !left.is_zero());
        if let Some(left) = left {
            let seconds = left.as_secs() + 1;
            return Answer::KeepAlive(
                format!(
                    "HTTP/1.1 429 Scripted\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n"
                )
                .into_bytes(),
            );
        }
        if request.path.starts_with("/v1/auth/") {
            let login =
                json!({"auth": {"client_token": "t", "lease_duration": 3600, "renewable": true}});
            return Answer::json(200, &login.to_string());
        }
        let secret = json!({"data": {"data": {"path": request.path}, "metadata": {
            "created_time": "2026-01-01T00:00:00Z", "custom_metadata": null, "deletion_time": "", "destroyed": false, "version": 1,
        }}});
        Answer::json(200, &secret.to_string())
    });
    (server, seen)
}

fn bundle(bed: &Bed, store: &str, name: &str) {
    let entry = json!({"name": "path", "path": format!("secret/data/{name}"), "key": "path"});
    bed.bundle(
        name,
        &json!({"store": store, "role": "app", "entries": [entry]}),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn a_server_that_asks_to_be_left_alone_is_and_first_mounts_come_first() {
    let bed = Bed::new();
    let ((limited, seen), (calm, _)) = (server(), server());
    for (store, server) in [("limited", &limited), ("calm", &calm)] {
        bed.store(store, &json!({"addresses": [server.url()]}));
    }
    for (store, name) in [("limited", "old"), ("limited", "new"), ("calm", "other")] {
        bundle(&bed, store, name);
    }
    let bundles = bed.bundles().await;
    let volume = |name: &str| bed.volume(name, ("bundle", name));
    let (old, new, other) = (volume("old"), volume("new"), volume("other"));
    let (_, mounted) = files(mount(&bundles, &old).await.unwrap());
    let tampered = Mounted {
        intact: false,
        ..mounted
    };
    let failures = || bundles.counters().failures.load(Ordering::Relaxed);
    let (begin, before) = (Instant::now(), failures());
    seen.lock().unwrap().closed = Some(begin + PAUSE);
    // The one for `new`, which is the first to ask.
    let refused = async || {
        while failures() == before && begin.elapsed() < PAUSE {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let elsewhere = async {
        refused().await;
        mount(&bundles, &other).await.unwrap();
        begin.elapsed()
    };
    let refresh = async {
        refused().await;
        bundles.fetch(&old, Some(&tampered)).await
    };
    let (mounted, refreshed, elsewhere) = tokio::join!(mount(&bundles, &new), refresh, elsewhere);
    assert!(elsewhere < PAUSE, "another server waited: {elsewhere:?}");
    assert_eq!(files(mounted.unwrap()).0["path"], "/v1/secret/data/new");
    assert_eq!(files(refreshed.unwrap()).0["path"], "/v1/secret/data/old");
    let asked: Vec<(u64, String)> = seen
        .lock()
        .unwrap()
        .asked
        .iter()
        .filter(|(at, _)| *at >= begin)
        .map(|(at, path)| ((*at - begin).as_secs(), path.clone()))
        .collect();
    let paths: Vec<&str> = asked.iter().map(|(_, path)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/v1/secret/data/new",
            "/v1/secret/data/new",
            "/v1/secret/data/old"
        ],
        "{asked:?}"
    );
    assert!(asked[1].0 >= PAUSE.as_secs(), "{asked:?}");
}
