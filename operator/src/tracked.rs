//! What is remembered of one bundle between two turns. After a restart it is taken from the bundle's status.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envlatch_api::{AppliedSecret, LeaseRecord, REFRESH_AT, SecretBundle, SecretBundleStatus};
use envlatch_bundle::{Gathered, Logins};
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;

/// What part of the remaining time passes before something is replaced whose token is not known any more.
const REPLACE_AFTER: f64 = 0.6;

/// How much of the value of an annotation is compared and written into the status.
const LONGEST: usize = 64;

/// One bundle.
pub(crate) struct Tracked {
    pub(crate) uid: String,
    pub(crate) logins: Logins,
    pub(crate) live: tokio::sync::Mutex<Live>,
    shown: Mutex<Shown>,
}

/// What monitoring sees, also while a turn is under way.
struct Shown {
    failing: bool,
    /// When the server said last that the content is what it has; before that, when the bundle was seen first
    confirmed: Instant,
}

/// What turns change.
#[derive(Default)]
pub(crate) struct Live {
    /// Whether what an earlier process did was looked at
    pub(crate) continued: bool,
    /// What the Secret was made of
    pub(crate) applied: Option<Applied>,
    /// The status as it was written last
    pub(crate) status: Option<SecretBundleStatus>,
    pub(crate) refresh: Option<Instant>,
    /// When what an earlier process was issued must be replaced, because its login is not known
    pub(crate) replace: Option<Instant>,
    pub(crate) failures: u32,
    /// How often in a row the status could not be written
    pub(crate) unreported: u32,
    /// Since when it is tried to revoke what was issued, because the bundle is deleted
    pub(crate) ending: Option<Instant>,
    /// Issued and journalled, and not in the Secret yet
    pub(crate) pending: Option<(Option<i64>, Gathered)>,
}

/// A Secret and what it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) wish: Wish,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) hash: String,
    pub(crate) resource_version: String,
}

/// What a bundle and its store say. Another one is fetched for anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) generation: Option<i64>,
    pub(crate) refresh_at: Option<String>,
    pub(crate) store: (String, i64),
}

// === impl Tracked ===

impl Tracked {
    pub(crate) fn new(uid: &str) -> Self {
        Self {
            uid: uid.to_owned(),
            logins: Logins::default(),
            live: tokio::sync::Mutex::default(),
            shown: Mutex::new(Shown {
                failing: false,
                confirmed: Instant::now(),
            }),
        }
    }

    pub(crate) fn set_failing(&self, failing: bool) {
        self.shown().failing = failing;
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.shown().failing
    }

    /// The content is what the server has.
    pub(crate) fn confirm(&self) {
        self.shown().confirmed = Instant::now();
    }

    /// How long ago that was.
    pub(crate) fn age(&self) -> Duration {
        self.shown().confirmed.elapsed()
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        // Fields are set one at a time, so a panic elsewhere cannot have broken them.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Wish ===

impl Wish {
    pub(crate) fn of(bundle: &SecretBundle, store: &(String, i64)) -> Self {
        let refresh_at = bundle.annotations().get(REFRESH_AT);
        Self {
            generation: bundle.metadata.generation,
            refresh_at: refresh_at.map(|at| at[..at.floor_char_boundary(LONGEST)].to_owned()),
            store: store.clone(),
        }
    }
}

// === impl Applied ===

impl Applied {
    /// What the status says about a Secret for the present spec.
    pub(crate) fn of_status(bundle: &SecretBundle, wish: &Wish) -> Option<Self> {
        let status = bundle.status.as_ref()?;
        let secret = status.secret.as_ref()?;
        let sync = bundle.spec.sync.as_ref()?;
        let synced = status
            .conditions
            .iter()
            .any(|one| one.type_ == "Synced" && one.status == "True");
        let current = synced
            && status.observed_generation == wish.generation
            && secret.name == sync.secret_name;
        current.then(|| Self {
            wish: Wish {
                // What was asked for while nobody was there is done now.
                refresh_at: status.observed_refresh_at.clone(),
                ..wish.clone()
            },
            name: secret.name.clone(),
            uid: secret.uid.clone(),
            hash: secret.hash.clone(),
            resource_version: secret.resource_version.clone().unwrap_or_default(),
        })
    }

    pub(crate) fn record(&self) -> AppliedSecret {
        AppliedSecret {
            name: self.name.clone(),
            uid: self.uid.clone(),
            hash: self.hash.clone(),
            resource_version: Some(self.resource_version.clone()),
        }
    }
}

/// How long from `now` until what was journalled must be replaced; `None` when nothing was.
pub(crate) fn replace_after(
    leases: &[LeaseRecord],
    hash: &str,
    now: Timestamp,
) -> Option<Duration> {
    let own = leases.iter().filter(|lease| lease.hash == hash);
    let ends = own.map(|lease| {
        lease
            .ends
            .iter()
            .chain([&lease.expires])
            .map(|time| time.0)
            .min()
            .unwrap_or(lease.expires.0)
    });
    let left = ends.min()?.duration_since(now);
    Some(
        Duration::try_from(left)
            .unwrap_or_default()
            .mul_f64(REPLACE_AFTER),
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn what_an_earlier_process_was_issued_is_replaced_before_lease_or_token_ends() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let lease = |expires: i64, ends: Option<i64>, hash: &str| LeaseRecord {
            id: format!("{expires}"),
            path: "database/creds/app".to_owned(),
            hash: hash.to_owned(),
            expires: Time(at(expires)),
            ends: ends.map(|ends| Time(at(ends))),
        };
        let after = |leases: &[LeaseRecord]| {
            replace_after(leases, "h", at(1000)).map(|after| after.as_secs())
        };
        // The lease would live for 10 minutes, its token for two.
        assert_eq!(after(&[lease(1600, Some(1120), "h")]), Some(72));
        assert_eq!(
            after(&[lease(1600, None, "h"), lease(1100, None, "h")]),
            Some(60)
        );
        assert_eq!(after(&[lease(900, None, "h")]), Some(0));
        assert_eq!(after(&[lease(1600, None, "other")]), None);
        assert_eq!(after(&[]), None);
    }
}
