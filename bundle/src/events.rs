//! What users are told beside kubelet's own event: on the pod, rate limited, and never waited for.

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
/// Who reports.
const CONTROLLER: &str = "envlatch.io/csi";

/// Posts events.
pub(crate) struct Events {
    client: Client,
    node: String,
    said: Mutex<HashMap<(String, &'static str), Instant>>,
}

// === impl Events ===

impl Events {
    pub(crate) fn new(client: Client, node: String) -> Self {
        Self {
            client,
            node,
            said: Mutex::default(),
        }
    }

    /// Warns about `problem`; `prefix` says what it means for the pod.
    pub(crate) fn warn(&self, pod: &Pod, prefix: &str, problem: &Problem) {
        if !self.is_news(&pod.uid, problem.reason) {
            return;
        }
        let api: Api<Event> = Api::namespaced(self.client.clone(), &pod.namespace);
        let event = self.event(
            pod,
            problem.reason,
            &format!("{prefix}: {}", problem.message),
        );
        tokio::spawn(async move {
            // Nobody is left to tell when even this fails.
            drop(timeout(POST, api.create(&PostParams::default(), &event)).await);
        });
    }

    fn is_news(&self, pod: &str, reason: &'static str) -> bool {
        // Entries are added and removed whole, so a panic elsewhere cannot have broken the map.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, then| then.elapsed() < QUIET);
        said.insert((pod.to_owned(), reason), Instant::now())
            .is_none()
    }

    fn event(&self, pod: &Pod, reason: &str, note: &str) -> Event {
        let end = note.floor_char_boundary(LONGEST);
        let now = Timestamp::now();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{:.200}.{:x}", pod.name, now.as_nanosecond())),
                namespace: Some(pod.namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.node.chars().take(128).collect()),
            action: Some("Mount".to_owned()),
            reason: Some(reason.to_owned()),
            type_: Some("Warning".to_owned()),
            note: Some(note[..end].to_owned()),
            regarding: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name.clone()),
                namespace: Some(pod.namespace.clone()),
                uid: Some(pod.uid.clone()),
                ..ObjectReference::default()
            }),
            ..Event::default()
        }
    }
}
