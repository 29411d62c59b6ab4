//! One volume while it is mounted: its logins, what it was filled with, and when it is due.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use envlatch_api::VaultStore;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::class::Class;
use crate::follow::Followed;
use crate::journal::State;
use crate::logins::Logins;

/// How soon a refresh that failed is tried again, at first.
const AGAIN: Duration = Duration::from_secs(30);

/// A volume. What must be undone when its pod goes is reachable without waiting for a fetch under way.
#[derive(Default)]
pub(crate) struct Volume {
    pub(crate) live: tokio::sync::Mutex<Live>,
    pub(crate) logins: Logins,
}

/// What a fetch changes.
#[derive(Default)]
pub(crate) struct Live {
    pub(crate) state: Option<State>,
    pub(crate) followed: Option<Arc<Followed<Class>>>,
    /// When the server is asked again; `None` before the first time in this process
    due: Option<Instant>,
    failures: u32,
}

// === impl Live ===

impl Live {
    /// Whether the server is to be asked, given how the class and the store are now.
    pub(crate) fn is_due(
        &self,
        volume_id: &str,
        class: &Class,
        store: &VaultStore,
        interval: Duration,
    ) -> bool {
        let Some(state) = &self.state else {
            return true;
        };
        if state.class != *class || version(&state.store) != version(store) {
            // Whatever changed may be wrong, and then it is not asked about at every call.
            return self.failures == 0 || self.is_time(volume_id, state, interval);
        }
        self.is_time(volume_id, state, interval)
    }

    fn is_time(&self, volume_id: &str, state: &State, interval: Duration) -> bool {
        match self.due {
            Some(due) => Instant::now() >= due,
            None => state.age() >= jittered(volume_id, interval),
        }
    }

    pub(crate) fn succeeded(&mut self, volume_id: &str, state: State, interval: Duration) {
        self.state = Some(state);
        self.failures = 0;
        self.due = Some(Instant::now() + jittered(volume_id, interval));
    }

    pub(crate) fn failed(&mut self, interval: Duration) {
        let pause = AGAIN.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.due = Some(Instant::now() + pause.min(interval));
    }
}

fn version(store: &VaultStore) -> (Option<String>, Option<i64>) {
    (store.uid(), store.metadata.generation)
}

/// From nine to eleven tenths of `interval`, always the same for a volume: volumes that were mounted together drift apart.
fn jittered(volume_id: &str, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    volume_id.hash(&mut hasher);
    let share = f64::from(u32::try_from(hasher.finish() % 1000).unwrap_or_default()) / 1000.0;
    interval.mul_f64(0.9 + 0.2 * share)
}

#[cfg(test)]
mod tests {
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
}
