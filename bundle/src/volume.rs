//! One volume while it is mounted: its logins, what it was filled with, and when it is due.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envlatch_api::VaultStore;
use envlatch_vault::Session;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::class::Class;
use crate::follow::Followed;
use crate::journal::State;
use crate::private::Private;
use crate::revoker::Revoker;

/// How soon a refresh that failed is tried again, at first.
const AGAIN: Duration = Duration::from_secs(30);

/// A volume. What must be undone when its pod goes is reachable without waiting for a fetch under way.
#[derive(Default)]
pub(crate) struct Volume {
    pub(crate) live: tokio::sync::Mutex<Live>,
    logins: Mutex<Logins>,
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

#[derive(Default)]
struct Logins {
    private: Option<(String, Arc<Private>)>,
    /// Replaced, and still working for a while
    retired: Vec<Arc<Session>>,
}

// === impl Volume ===

impl Volume {
    /// The login of the volume alone, if it is of this identity.
    pub(crate) fn private(&self, identity: &str) -> Option<Arc<Private>> {
        let logins = self.logins();
        let (own, private) = logins.private.as_ref()?;
        (own == identity).then(|| Arc::clone(private))
    }

    pub(crate) fn has_private(&self) -> bool {
        self.logins().private.is_some()
    }

    /// Notes a login before it is made, so that it is revoked even when the fetch is given up.
    pub(crate) fn prepare(&self, session: &Arc<Session>) {
        self.logins().retired.push(Arc::clone(session));
    }

    /// The login did not lead to files.
    pub(crate) fn give_up(&self, session: &Arc<Session>, revoker: &Revoker) {
        self.logins()
            .retired
            .retain(|other| !Arc::ptr_eq(other, session));
        revoker.revoke(Arc::clone(session));
    }

    /// Uses `private`, or no login of its own, from now on. The one before ends after a while.
    pub(crate) fn replace(&self, private: Option<(String, Arc<Private>)>, revoker: &Revoker) {
        let mut logins = self.logins();
        if let Some((_, private)) = &private {
            logins
                .retired
                .retain(|other| !Arc::ptr_eq(other, &private.session));
        }
        if let Some((_, replaced)) = std::mem::replace(&mut logins.private, private) {
            let session = Arc::clone(&replaced.session);
            revoker.revoke_later(Arc::clone(&session));
            logins.retired.push(session);
        }
    }

    /// Everything that was logged in for the volume alone.
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        let Logins { private, retired } = std::mem::take(&mut *self.logins());
        private
            .map(|(_, private)| Arc::clone(&private.session))
            .into_iter()
            .chain(retired)
            .collect()
    }

    fn logins(&self) -> MutexGuard<'_, Logins> {
        // Every change is one insertion or removal, so a panic elsewhere cannot have broken it.
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
