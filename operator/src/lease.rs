//! Leases of the API server: whose one is, and what it looks like when somebody takes, keeps, wishes for or gives it.
//!
//! Times in a Lease are of another clock and are not compared with ours: whether it is still kept is seen from its renewals.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::ResourceExt;
use tokio::time::Instant;

/// What a shard's Lease is found by; the value is the shard's number.
pub(crate) const SHARD: &str = "envlatch.io/shard";
/// Into how many shards the work is divided, as the holder sees it.
const COUNT: &str = "envlatch.io/shards";
/// A replica with less to do that would take the shard over.
const WANTED_BY: &str = "envlatch.io/wanted-by";

/// Another holder's last renewal as it was seen, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    renewed: Option<MicroTime>,
    since: Instant,
}

// === impl Seen ===

impl Seen {
    /// What is known after `lease` was looked at.
    pub(crate) fn after(before: Option<Self>, lease: &Lease) -> Self {
        let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
        before
            .filter(|before| before.renewed == renewed)
            .unwrap_or_else(|| Self {
                renewed,
                since: Instant::now(),
            })
    }

    /// Whether nobody renewed the Lease for as long as it lasts.
    pub(crate) fn has_ended(&self, lease: &Lease, otherwise: Duration) -> bool {
        let seconds = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_duration_seconds);
        let lasts = seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(otherwise, Duration::from_secs);
        self.since.elapsed() >= lasts
    }
}

/// The Lease's name for a shard.
pub(crate) fn name(shard: u16) -> String {
    format!("envlatch-operator-shard-{shard}")
}

/// The shard of a Lease.
pub(crate) fn shard(lease: &Lease) -> Option<u16> {
    lease.labels().get(SHARD)?.parse().ok()
}

/// How many shards the holder knows.
pub(crate) fn count(lease: &Lease) -> Option<u16> {
    lease.annotations().get(COUNT)?.parse().ok()
}

pub(crate) fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    Some(holder).filter(|holder| !holder.is_empty())
}

/// Who would take the shard over.
pub(crate) fn wanted_by(lease: &Lease) -> Option<&str> {
    lease.annotations().get(WANTED_BY).map(String::as_str)
}

/// The Lease of `shard` as `identity` takes or keeps it.
pub(crate) fn kept(
    before: Option<&Lease>,
    shard: u16,
    count: u16,
    identity: &str,
    duration: Duration,
) -> Lease {
    let mut lease = before.cloned().unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(name(shard)),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    lease.metadata.managed_fields = None;
    lease
        .labels_mut()
        .insert(SHARD.to_owned(), shard.to_string());
    let is_new = holder(&lease) != Some(identity);
    let annotations = lease.annotations_mut();
    annotations.insert(COUNT.to_owned(), count.to_string());
    // Whoever still wants it asks again.
    annotations.remove(WANTED_BY);
    let now = MicroTime(Timestamp::now());
    let spec = lease.spec.take().unwrap_or_default();
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
        acquire_time: spec
            .acquire_time
            .filter(|_| !is_new)
            .or_else(|| Some(now.clone())),
        renew_time: Some(now),
        lease_transitions: Some(spec.lease_transitions.unwrap_or_default() + i32::from(is_new)),
        ..LeaseSpec::default()
    });
    lease
}

/// `lease` with a wish to have it.
pub(crate) fn wanted(lease: &Lease, by: &str) -> Lease {
    let mut lease = lease.clone();
    lease.metadata.managed_fields = None;
    let annotations = lease.annotations_mut();
    annotations.insert(WANTED_BY.to_owned(), by.to_owned());
    lease
}

/// `lease` without a holder, for whoever comes first.
pub(crate) fn released(lease: &Lease) -> Lease {
    let mut lease = lease.clone();
    lease.metadata.managed_fields = None;
    if let Some(spec) = &mut lease.spec {
        spec.holder_identity = None;
    }
    lease
}
