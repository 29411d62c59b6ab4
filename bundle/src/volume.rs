//! One volume while it is mounted: its logins, what it was filled with, and when it is due.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use envlatch_api::VaultStore;
use tokio::time::Instant;

use crate::class::Class;
use crate::follow::Followed;
use crate::journal::State;
use crate::logins::Logins;
use crate::pod_status::Owed;
use crate::store::version;

/// How soon a refresh that failed is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// How long a renewal that is due may take before it is looked whether it put the end off.
const SETTLE: Duration = Duration::from_secs(1);

/// A volume. What must be undone when its pod goes is reachable without waiting for a fetch under way.
#[derive(Default)]
pub(crate) struct Volume {
    pub(crate) live: tokio::sync::Mutex<Live>,
    pub(crate) logins: Logins,
    pub(crate) freshness: Mutex<Option<Freshness>>,
    pub(crate) status: Owed,
}

/// How far the files of a volume can be relied on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    /// When the server confirmed them last
    pub(crate) confirmed: Instant,
    /// Whether the latest refresh failed
    pub(crate) failing: bool,
}

/// What a fetch changes.
#[derive(Default)]
pub(crate) struct Live {
    pub(crate) state: Option<State>,
    pub(crate) followed: Option<Arc<Followed<Class>>>,
    /// When the server is asked again; `None` before the first time in this process
    due: Option<Instant>,
    failures: u32,
    /// For what the server was asked last
    tried: Option<Asked>,
}

/// Which class and which store, down to their latest change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    class: (String, i64, Option<String>),
    store: (Option<String>, Option<i64>),
}

// === impl Volume ===

impl Volume {
    /// Notes how far the files can be relied on, for who does not wait for a fetch.
    pub(crate) fn note(&self, live: &Live) {
        let confirmed = live.state.as_ref().map(|state| Freshness {
            confirmed: Instant::now() - state.age(),
            failing: live.failures > 0,
        });
        if confirmed.is_some() {
            // It is replaced as a whole, so a panic elsewhere cannot have broken it.
            *self
                .freshness
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = confirmed;
        }
    }
}

// === impl Live ===

impl Live {
    /// Whether the server is to be asked, given how the class and the store are now, and whether something ends soon.
    pub(crate) fn is_due(
        &mut self,
        volume_id: &str,
        class: &Class,
        store: &VaultStore,
        interval: Duration,
        ends_soon: bool,
    ) -> bool {
        let Some(state) = &self.state else {
            return true;
        };
        let changed = state.class != *class || version(&state.store) != version(store);
        let due = *self.due.get_or_insert_with(|| {
            Instant::now() + jittered(volume_id, interval).saturating_sub(state.age())
        });
        // What failed is not asked about at every call, but once more when somebody changed something.
        let failed = self.failures > 0 && self.tried == Some(Asked::of(class, store));
        ((changed || ends_soon) && !failed) || Instant::now() >= due
    }

    /// The server is asked now.
    pub(crate) fn tries(&mut self, class: &Class, store: &VaultStore) {
        self.tried = Some(Asked::of(class, store));
    }

    pub(crate) fn succeeded(&mut self, volume_id: &str, state: State, interval: Duration) {
        self.state = Some(state);
        self.failures = 0;
        self.due = Some(Instant::now() + jittered(volume_id, interval));
    }

    pub(crate) fn failed(&mut self, volume_id: &str, interval: Duration) {
        let pause = AGAIN.0.saturating_mul(2_u32.saturating_pow(self.failures));
        let pause = pause.min(AGAIN.1).min(interval);
        self.failures = self.failures.saturating_add(1);
        self.due = Some(Instant::now() + jittered(volume_id, pause));
    }

    /// When to look at the volume again; `changes` is when something that was issued is renewed or must be replaced.
    pub(crate) fn next(&self, changes: Option<Instant>) -> Option<Instant> {
        let soonest = Instant::now() + SETTLE;
        let changes = changes.filter(|_| self.failures == 0);
        let changes = changes.map(|at| (at + SETTLE).max(soonest));
        self.due.into_iter().chain(changes).min()
    }
}

// === impl Asked ===

impl Asked {
    fn of(class: &Class, store: &VaultStore) -> Self {
        Self {
            class: class.version(),
            store: version(store),
        }
    }
}

/// From nine to eleven tenths of `interval`, always the same for a volume: volumes that were mounted together drift apart.
fn jittered(volume_id: &str, interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * share(volume_id))
}

/// From 0 to 1, always the same for a volume.
pub(crate) fn share(volume_id: &str) -> f64 {
    let mut hasher = DefaultHasher::new();
    volume_id.hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() % 1000).unwrap_or_default()) / 1000.0
}

#[cfg(test)]
mod tests {
    use envlatch_api::SecretBundle;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_interval_of_a_volume_is_stable_and_near_what_was_set() {
        let interval = Duration::from_secs(300);
        let all: Vec<Duration> = (0..500)
            .map(|n| jittered(&format!("csi-{n}"), interval))
            .collect();
        assert!(
            all.iter()
                .all(|one| *one >= interval.mul_f64(0.9) && *one <= interval.mul_f64(1.1))
        );
        assert!(all.iter().any(|one| *one < interval.mul_f64(0.93)));
        assert!(all.iter().any(|one| *one > interval.mul_f64(1.07)));
        assert_eq!(jittered("csi-1", interval), jittered("csi-1", interval));
    }

    /// A bundle as somebody demanded it to be looked at.
    fn class(refresh_at: &str) -> Class {
        let bundle: SecretBundle = serde_json::from_value(json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "SecretBundle",
            "metadata": {"name": "app", "namespace": "team", "annotations": {"envlatch.io/refresh-at": refresh_at}},
            "spec": {"role": "app", "entries": [{"name": "a", "path": "secret/data/a", "key": "k"}]},
        }))
        .unwrap();
        bundle.into()
    }

    fn store(generation: i64) -> VaultStore {
        serde_json::from_value(json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "VaultStore",
            "metadata": {"name": "main", "uid": "u", "generation": generation},
            "spec": {"addresses": ["https://vault"], "grants": [{"namespaces": ["*"], "roles": ["*"]}]},
        }))
        .unwrap()
    }

    #[test]
    fn what_failed_is_asked_about_again_when_somebody_changed_something() {
        let hour = Duration::from_secs(3600);
        let is_due = |live: &mut Live, class: &Class, store: &VaultStore| {
            live.is_due("csi-1", class, store, hour, false)
        };
        let mut live = Live::default();
        let state = State::new(class("1"), store(1), &[], None, None, None);
        live.succeeded("csi-1", state, hour);
        assert!(!is_due(&mut live, &class("1"), &store(1)));
        for (class, store) in [(class("2"), store(1)), (class("2"), store(2))] {
            assert!(is_due(&mut live, &class, &store));
            live.tries(&class, &store);
            live.failed("csi-1", hour);
            assert!(!is_due(&mut live, &class, &store));
        }
    }
}
