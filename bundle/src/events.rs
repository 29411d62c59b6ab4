//! What users are told in events: rate limited, and never waited for.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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
        if !self.is_news(about.uid, reason) {
            return;
        }
        // It fails when too many wait: what the user is told in the status is enough then.
        if let Ok(place) = self.waiting.try_reserve() {
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

/// One after the other: they are the least urgent of all requests, and each that is under way at the same time has a connection.
async fn post_all(client: Client, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        // Nobody is left to tell when even this fails.
        drop(timeout(POST, api.create(&PostParams::default(), &event)).await);
    }
}
