//! Which replica works: the holder of a Lease. A replica that cannot renew it in time ends, so that two never work at once.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use tokio::time::{Instant, sleep, timeout};

/// The Lease's name.
const NAME: &str = "envlatch-operator";

/// Who takes part.
pub(crate) struct Candidate {
    api: Api<Lease>,
    namespace: String,
    identity: String,
    duration: Duration,
}

/// Another holder's Lease as it was seen, and since when. Its own times are of another clock, and are not compared with ours.
struct Seen {
    version: Option<String>,
    since: Instant,
}

// === impl Candidate ===

impl Candidate {
    pub(crate) fn new(client: Client, namespace: &str, identity: &str, duration: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            identity: identity.to_owned(),
            duration,
        }
    }

    /// Waits until this replica leads.
    pub(crate) async fn lead(&self) {
        let mut seen = None;
        loop {
            match timeout(self.duration, self.attempt(&mut seen)).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!("cannot get the Lease {}/{NAME}: {error}", self.namespace)
                }
                Err(_elapsed) => tracing::warn!(
                    "cannot get the Lease {}/{NAME}: the API server does not answer",
                    self.namespace
                ),
            }
            sleep(self.duration / 6).await;
        }
    }

    /// Renews the Lease; returns when that was not possible in time, or somebody else has it.
    pub(crate) async fn hold(&self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < self.duration * 2 / 3 {
            sleep(self.duration / 6).await;
            match timeout(self.duration / 3, self.attempt(&mut None)).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => {
                    tracing::warn!("cannot renew the Lease {}/{NAME}: {error}", self.namespace)
                }
                Err(_elapsed) => tracing::warn!(
                    "cannot renew the Lease {}/{NAME}: the API server does not answer",
                    self.namespace
                ),
            }
        }
    }

    /// Gives the Lease back, so that another replica need not wait for its end.
    pub(crate) async fn release(&self) {
        let Ok(mut lease) = self.api.get(NAME).await else {
            return;
        };
        if holder(&lease) == Some(self.identity.as_str()) {
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = None;
            }
            // When it fails, the Lease ends by itself.
            drop(self.api.replace(NAME, &PostParams::default(), &lease).await);
        }
    }

    /// Whether the Lease is ours now.
    async fn attempt(&self, seen: &mut Option<Seen>) -> Result<bool, Error> {
        let Some(lease) = self.api.get_opt(NAME).await? else {
            let made = self
                .api
                .create(&PostParams::default(), &self.lease(None))
                .await;
            return lost_if_conflict(made.map(drop));
        };
        let is_ours = holder(&lease) == Some(self.identity.as_str());
        if !is_ours && holder(&lease).is_some() && !self.has_ended(&lease, seen) {
            return Ok(false);
        }
        let replaced = self
            .api
            .replace(NAME, &PostParams::default(), &self.lease(Some(&lease)))
            .await;
        lost_if_conflict(replaced.map(drop))
    }

    /// Whether nobody renewed the Lease for as long as it lasts.
    fn has_ended(&self, lease: &Lease, seen: &mut Option<Seen>) -> bool {
        let version = lease.metadata.resource_version.clone();
        match seen {
            Some(seen) if seen.version == version => {
                let seconds = lease
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.lease_duration_seconds);
                let lasts = seconds
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .map_or(self.duration, Duration::from_secs);
                seen.since.elapsed() >= lasts
            }
            _ => {
                *seen = Some(Seen {
                    version,
                    since: Instant::now(),
                });
                false
            }
        }
    }

    fn lease(&self, before: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = before
            .and_then(|lease| lease.spec.clone())
            .unwrap_or_default();
        let is_ours = spec.holder_identity.as_deref() == Some(self.identity.as_str());
        Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                resource_version: before.and_then(|lease| lease.metadata.resource_version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
                acquire_time: if is_ours {
                    spec.acquire_time.clone()
                } else {
                    Some(now.clone())
                },
                renew_time: Some(now),
                lease_transitions: Some(
                    spec.lease_transitions.unwrap_or_default() + i32::from(!is_ours),
                ),
                ..spec
            }),
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    Some(holder).filter(|holder| !holder.is_empty())
}

/// Another replica was faster.
fn lost_if_conflict(outcome: Result<(), Error>) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
