//! What users are told in events: rate limited, and never waited for.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::Problem;
use crate::request::Pod;

/// How long the same thing is not said again about a pod.
const QUIET: Duration = Duration::from_secs(300);
/// How often it is looked what may be said again.
const SWEEP: Duration = Duration::from_secs(30);
/// How many events wait at most; when there are more, as after a mass start, those that come then are not posted.
const WAITING: usize = 1000;
/// How many are posted at once.
const AT_ONCE: usize = 4;
/// How long the API server has to take an event.
const POST: Duration = Duration::from_secs(10);
/// The longest note that it takes, in bytes.
const LONGEST: usize = 1000;

/// Posts events.
pub struct Events {
    controller: &'static str,
    instance: String,
    said: Mutex<Said>,
    waiting: mpsc::Sender<Event>,
}

/// What was said, about whom and why, by a hash of both.
struct Said {
    then: HashMap<u64, Instant>,
    hasher: RandomState,
    swept: Instant,
}

/// What an event is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Such as `v1`
    pub api_version: &'a str,
    /// Such as `Pod`
    pub kind: &'a str,
    /// Name
    pub name: &'a str,
    /// Namespace
    pub namespace: &'a str,
    /// UID
    pub uid: &'a str,
    /// What was done with it, such as `Mount`
    pub action: &'a str,
}

// === impl Events ===

impl Events {
    /// `controller` and `instance` are who reports. Must be called in a tokio runtime.
    #[must_use]
    pub fn new(client: Client, controller: &'static str, instance: String) -> Self {
        let (waiting, events) = mpsc::channel(WAITING);
        tokio::spawn(post_all(client, events));
        Self {
            controller,
            instance,
            said: Mutex::new(Said {
                then: HashMap::new(),
                hasher: RandomState::new(),
                swept: Instant::now(),
            }),
            waiting,
        }
    }

    /// Warns about `problem`; `prefix` says what it means for the pod.
    pub(crate) fn warn(&self, pod: &Pod, prefix: &str, problem: &Problem) {
        let about = About {
            api_version: "v1",
            kind: "Pod",
            name: &pod.name,
            namespace: &pod.namespace,
            uid: &pod.uid,
            action: "Mount",
        };
        let note = format!("{prefix}: {}", problem.message);
        self.post(&about, "Warning", problem.reason, &note);
    }

    /// Posts an event of type `Normal` or `Warning`, unless the same was said a moment ago. Nobody waits for it.
    pub fn post(&self, about: &About<'_>, type_: &str, reason: &str, note: &str) {
        // There is none when too many wait; the next one about it is not kept back then.
        let Ok(place) = self.waiting.try_reserve() else {
            return;
        };
        if self.is_news(about.uid, reason) {
            place.send(self.event(about, type_, reason, note));
        }
    }

    fn is_news(&self, uid: &str, reason: &str) -> bool {
        // Entries are added and removed whole, so a panic elsewhere cannot have broken the map.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.swept.elapsed() >= SWEEP {
            said.then.retain(|_, then| then.elapsed() < QUIET);
            said.swept = Instant::now();
        }
        let what = said.hasher.hash_one((uid, reason));
        let before = said.then.insert(what, Instant::now());
        before.is_none_or(|then| then.elapsed() >= QUIET)
    }

    fn event(&self, about: &About<'_>, type_: &str, reason: &str, note: &str) -> Event {
        let end = note.floor_char_boundary(LONGEST);
        let now = Timestamp::now();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{:.200}.{:x}", about.name, now.as_nanosecond())),
                namespace: Some(about.namespace.to_owned()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(self.controller.to_owned()),
            reporting_instance: Some(self.instance.chars().take(128).collect()),
            action: Some(about.action.to_owned()),
            reason: Some(reason.to_owned()),
            type_: Some(type_.to_owned()),
            note: Some(note[..end].to_owned()),
            regarding: Some(ObjectReference {
                api_version: Some(about.api_version.to_owned()),
                kind: Some(about.kind.to_owned()),
                name: Some(about.name.to_owned()),
                namespace: Some(about.namespace.to_owned()),
                uid: Some(about.uid.to_owned()),
                ..ObjectReference::default()
            }),
            ..Event::default()
        }
    }
}

/// A few at once: they are the least urgent of all requests, and each that is under way has a connection.
async fn post_all(client: Client, events: mpsc::Receiver<Event>) {
    let events = stream::unfold(events, |mut events| async {
        Some((events.recv().await?, events))
    });
    let post = |event: Event| {
        let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), namespace);
        async move {
            // Nobody is left to tell when even this fails.
            drop(timeout(POST, api.create(&PostParams::default(), &event)).await);
        }
    };
    events.for_each_concurrent(AT_ONCE, post).await;
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use envlatch_service::kubernetes::KubernetesSettings;
    use envlatch_test_support::{Answer, Authority, Request, ScriptedServer};
    use serde_json::Value;
    use tokio::time::sleep;

    use super::*;

    fn client(server: &ScriptedServer, folder: &std::path::Path) -> Client {
        let (ca, token) = (folder.join("ca"), folder.join("token"));
        fs::write(&ca, Authority::new().pem()).unwrap();
        fs::write(&token, "token").unwrap();
        let address = server.url().parse().unwrap();
        let settings = KubernetesSettings::new(Some(address), ca, token);
        settings.client(None).unwrap()
    }

    fn uid(request: &Request) -> String {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        event["regarding"]["uid"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_flood_is_cut_off_and_nothing_is_said_twice() {
        let server = ScriptedServer::http(|_| Answer::json(201, r#"{"metadata": {}}"#));
        let folder = tempfile::tempdir().unwrap();
        let events = Events::new(client(&server, folder.path()), "c", "i".to_owned());
        for n in 0..2 * WAITING {
            let uid = n.to_string();
            let about = About {
                api_version: "v1",
                kind: "Pod",
                name: "p",
                namespace: "team",
                uid: &uid,
                action: "Mount",
            };
            for _ in 0..2 {
                events.post(&about, "Normal", "Synced", "note");
            }
        }
        while server.requests().len() < WAITING {
            sleep(Duration::from_millis(20)).await;
        }
        sleep(Duration::from_millis(200)).await;
        let requests = server.requests();
        assert_eq!(requests.len(), WAITING);
        let uids: HashSet<String> = requests.iter().map(uid).collect();
        assert_eq!(uids.len(), WAITING);
        let connections: HashSet<usize> =
            requests.iter().map(|request| request.connection).collect();
        assert!(connections.len() <= 2 * AT_ONCE, "{}", connections.len());
    }
}
