//! Restarts of workloads that read a Secret once: by the keyed hash of its content in the pod template, so that the same content
//! never restarts anything, however often it is written.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envlatch_api::{RestartKind, RestartTarget, SecretBundle};
use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Client, Error, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::operator::Operator;

/// How long changes are waited for that belong together.
const JOIN: Duration = Duration::from_secs(5);
/// How often one workload is restarted at most.
const BUDGET: SignedDuration = SignedDuration::from_mins(5);
/// How soon a restart that failed or was not possible is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// How often it is looked whether there is something to do.
const LOOK: Duration = Duration::from_secs(1);
/// Followed by a bundle's uid, in the pod template: the hash of the content that the pods were started with.
const HASH: &str = "hash.envlatch.io/";
/// In the pod template: when it was changed last.
const RESTARTED_AT: &str = "envlatch.io/restarted-at";

/// Restarts that are to come.
#[derive(Default)]
pub(crate) struct Restarts(Mutex<HashMap<Workload, Pending>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Workload {
    namespace: String,
    kind: &'static str,
    name: String,
}

#[derive(Clone)]
struct Pending {
    /// By the bundle's uid
    hashes: BTreeMap<String, String>,
    at: Instant,
    /// The bundle to tell about it
    bundle: SecretBundle,
}

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It was restarted, or its pods have the content already
    Done { restarted: bool },
    /// Not before then, and why
    Wait(Duration, &'static str),
}

// === impl Restarts ===

impl Restarts {
    /// Wants `targets` to be restarted for content with `hash`. What is wanted meanwhile is joined.
    pub(crate) fn want(
        &self,
        bundle: &SecretBundle,
        targets: &[RestartTarget],
        uid: &str,
        hash: &str,
    ) {
        let namespace = bundle.namespace().unwrap_or_default();
        let mut pending = self.pending();
        for target in targets {
            let kind = match target.kind {
                RestartKind::Deployment => "Deployment",
                RestartKind::StatefulSet => "StatefulSet",
                RestartKind::DaemonSet => "DaemonSet",
            };
            let workload = Workload {
                namespace: namespace.clone(),
                kind,
                name: target.name.clone(),
            };
            let entry = pending.entry(workload).or_insert_with(|| Pending {
                hashes: BTreeMap::new(),
                at: Instant::now() + JOIN,
                bundle: bundle.clone(),
            });
            entry.hashes.insert(uid.to_owned(), hash.to_owned());
        }
    }

    /// Does what is due; how long until the next look.
    pub(crate) async fn work(&self, operator: &Operator) -> Duration {
        let now = Instant::now();
        let due: Vec<(Workload, Pending)> = {
            let pending = self.pending();
            let due = pending.iter().filter(|(_, one)| one.at <= now);
            due.map(|(workload, one)| (workload.clone(), one.clone()))
                .collect()
        };
        for (workload, one) in due {
            let again = attempt(operator, &workload, &one).await;
            let mut pending = self.pending();
            match (again, pending.get_mut(&workload)) {
                // What was wanted meanwhile comes at its own time.
                (None, Some(now)) if now.hashes == one.hashes => drop(pending.remove(&workload)),
                (again, Some(now)) => now.at = Instant::now() + again.unwrap_or(JOIN),
                (_, None) => {}
            }
        }
        LOOK
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<Workload, Pending>> {
        // Entries are replaced whole, so a panic elsewhere cannot have broken the map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tries it, tells what became of it, and says when to try again.
async fn attempt(operator: &Operator, workload: &Workload, pending: &Pending) -> Option<Duration> {
    let name = format!("{} {}", workload.kind, workload.name);
    match restart(&operator.client, workload, &pending.hashes).await {
        Ok(Outcome::Done { restarted }) => {
            if restarted {
                operator.metrics.restarts.inc();
                operator.tell(
                    &pending.bundle,
                    "Normal",
                    "Restarted",
                    &format!("{name} is restarted with the new content"),
                );
            }
            None
        }
        Ok(Outcome::Wait(again, why)) => {
            operator.tell(
                &pending.bundle,
                "Normal",
                "RestartWaits",
                &format!("{name} {why}"),
            );
            Some(again)
        }
        Err(error) => {
            operator.metrics.restart_failures.inc();
            let cause = match error {
                Error::Api(status) if status.code == 404 => "does not exist; correct spec.sync.restart".to_owned(),
                Error::Api(status) if status.code == 403 => "may not be changed by the operator; list its kind in the chart's operator.restarts".to_owned(),
                Error::Api(status) => format!("could not be changed: status {}", status.code),
                other => {
                    tracing::debug!("{name}: {other}");
                    "could not be changed: the API server does not answer".to_owned()
                }
            };
            operator.tell(
                &pending.bundle,
                "Warning",
                "RestartFailed",
                &format!("{name} {cause}"),
            );
            Some(AGAIN)
        }
    }
}

async fn restart(
    client: &Client,
    workload: &Workload,
    hashes: &BTreeMap<String, String>,
) -> Result<Outcome, Error> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", workload.kind));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &workload.namespace, &kind);
    let found = api.get(&workload.name).await?;
    let now = Timestamp::now();
    if let Some(outcome) = judge(&found.data["spec"], hashes, now) {
        return Ok(outcome);
    }
    let stamps = hashes
        .iter()
        .map(|(uid, hash)| (format!("{HASH}{uid}"), hash.clone()));
    let stamps: BTreeMap<String, String> = stamps
        .chain([(RESTARTED_AT.to_owned(), now.to_string())])
        .collect();
    let patch = json!({
        "metadata": {"resourceVersion": found.resource_version()},
        "spec": {"template": {"metadata": {"annotations": stamps}}},
    });
    let parameters = PatchParams {
        field_manager: Some("envlatch-operator".to_owned()),
        ..PatchParams::default()
    };
    api.patch(&workload.name, &parameters, &Patch::Merge(&patch))
        .await?;
    Ok(Outcome::Done { restarted: true })
}

/// What to do about a workload with `spec`; `None` is to restart it.
fn judge(spec: &Value, hashes: &BTreeMap<String, String>, now: Timestamp) -> Option<Outcome> {
    let annotations = &spec["template"]["metadata"]["annotations"];
    let has =
        |(uid, hash): (&String, &String)| annotations[format!("{HASH}{uid}")] == hash.as_str();
    if hashes.iter().all(has) {
        return Some(Outcome::Done { restarted: false });
    }
    if spec["paused"] == true {
        return Some(Outcome::Wait(
            AGAIN,
            "is paused; it is restarted when it goes on",
        ));
    }
    let last: Timestamp = annotations[RESTARTED_AT].as_str()?.parse().ok()?;
    let left = BUDGET - now.duration_since(last);
    // A time in the future was written by a clock that was wrong.
    (left.is_positive() && left <= BUDGET).then(|| {
        Outcome::Wait(
            Duration::try_from(left).unwrap_or(AGAIN),
            "was restarted less than 5 minutes ago; the next restart takes every change along",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(spec: &Value) -> Option<Outcome> {
        let hashes = BTreeMap::from([("u".to_owned(), "new".to_owned())]);
        judge(spec, &hashes, "2026-01-01T00:10:00Z".parse().unwrap())
    }

    fn with(annotations: &Value) -> Value {
        json!({"template": {"metadata": {"annotations": annotations}}})
    }

    #[test]
    fn when_a_workload_is_restarted() {
        assert_eq!(judged(&json!({"template": {"metadata": {}}})), None);
        assert_eq!(judged(&with(&json!({"hash.envlatch.io/u": "old"}))), None);
        assert_eq!(
            judged(&with(&json!({"hash.envlatch.io/u": "new"}))),
            Some(Outcome::Done { restarted: false })
        );
        assert_eq!(
            judged(&with(
                &json!({"envlatch.io/restarted-at": "2026-01-01T00:04:00Z"})
            )),
            None
        );
        assert_eq!(
            judged(&with(
                &json!({"envlatch.io/restarted-at": "2027-01-01T00:04:00Z"})
            )),
            None
        );
        assert_eq!(
            judged(&with(&json!({"envlatch.io/restarted-at": "nonsense"}))),
            None
        );
        let recent = judged(&with(
            &json!({"envlatch.io/restarted-at": "2026-01-01T00:06:00Z"}),
        ));
        assert!(
            matches!(recent, Some(Outcome::Wait(left, _)) if left == Duration::from_secs(60)),
            "{recent:?}"
        );
        let mut paused = with(&json!({}));
        paused["paused"] = json!(true);
        assert!(matches!(judged(&paused), Some(Outcome::Wait(..))));
    }
}
