//! What users are told in events: rate limited, and never waited for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, timeout};

use crate::Problem;
use crate::request::Pod;

/// How long the same thing is not said again about a pod.
const QUIET: Duration = Duration::from_secs(300);
/// How long the API server has to take an event.
const POST: Duration = Duration::from_secs(10);
/// The longest note that it takes, in bytes.
const LONGEST: usize = 1000;

/// Posts events.
pub struct Events {
    client: Client,
    controller: &'static str,
    instance: String,
    said: Mutex<HashMap<(String, String), Instant>>,
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
    /// `controller` and `instance` are who reports.
    #[must_use]
    pub fn new(client: Client, controller: &'static str, instance: String) -> Self {
        Self {
            client,
            controller,
            instance,
            said: Mutex::default(),
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
        let api: Api<Event> = Api::namespaced(self.client.clone(), about.namespace);
        let event = self.event(about, type_, reason, note);
        tokio::spawn(async move {
            // Nobody is left to tell when even this fails.
            drop(timeout(POST, api.create(&PostParams::default(), &event)).await);
        });
    }

    fn is_news(&self, uid: &str, reason: &str) -> bool {
        // Entries are added and removed whole, so a panic elsewhere cannot have broken the map.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, then| then.elapsed() < QUIET);
        said.insert((uid.to_owned(), reason.to_owned()), Instant::now())
            .is_none()
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
