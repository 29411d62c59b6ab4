//! When each mounted volume is due, by this process's own clock: kubelet calls when it likes, once in a minute or two, and a
//! credential may end before.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::class::ClassName;

/// Volumes of a class or a store that changed are looked at within this time, not all in one moment.
const SPREAD: Duration = Duration::from_secs(1);

/// Every mounted volume that is not being looked at.
#[derive(Default)]
pub(crate) struct Schedule {
    due: Mutex<HashMap<String, Due>>,
    changed: Notify,
}

struct Due {
    class: ClassName,
    at: Instant,
}

// === impl Schedule ===

impl Schedule {
    pub(crate) fn set(&self, volume_id: &str, class: &ClassName, at: Instant) {
        let class = class.clone();
        self.due().insert(volume_id.to_owned(), Due { class, at });
        self.changed.notify_one();
    }

    pub(crate) fn remove(&self, volume_id: &str) {
        self.due().remove(volume_id);
    }

    /// A class changed: its volumes are looked at.
    pub(crate) fn hurry(&self, class: &ClassName) {
        self.hurry_those(|due| due.class == *class);
    }

    /// A store changed, and which volumes it is of is found out by looking.
    pub(crate) fn hurry_all(&self) {
        self.hurry_those(|_| true);
    }

    fn hurry_those(&self, which: impl Fn(&Due) -> bool) {
        for due in self.due().values_mut().filter(|due| which(due)) {
            let soon = Instant::now() + SPREAD.mul_f64(fastrand::f64());
            due.at = due.at.min(soon);
        }
        self.changed.notify_one();
    }

    /// Waits until a volume is due, and takes it out.
    pub(crate) async fn next(&self) -> String {
        loop {
            let Some((at, volume_id)) = self.first() else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(at) => {
                    if self.due().remove(&volume_id).is_some() {
                        return volume_id;
                    }
                }
            }
        }
    }

    fn first(&self) -> Option<(Instant, String)> {
        let due = self.due();
        let (volume_id, due) = due.iter().min_by_key(|(_, due)| due.at)?;
        Some((due.at, volume_id.clone()))
    }

    fn due(&self) -> MutexGuard<'_, HashMap<String, Due>> {
        // Entries are added, changed and removed whole, so a panic elsewhere cannot have broken the map.
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Kind;

    fn class(name: &str) -> ClassName {
        ClassName {
            kind: Kind::SecretBundle,
            namespace: "team".to_owned(),
            name: name.to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn volumes_come_when_they_are_due_and_once() {
        let (schedule, start) = (Schedule::default(), Instant::now());
        let set = |id: &str, name: &str, after: u64| {
            let at = start + Duration::from_secs(after);
            schedule.set(id, &class(name), at);
        };
        set("late", "a", 90);
        set("early", "b", 20);
        set("gone", "b", 10);
        schedule.remove("gone");
        assert_eq!(schedule.next().await, "early");
        assert_eq!(start.elapsed(), Duration::from_secs(20));
        // Something changes while somebody waits.
        let (next, ()) = tokio::join!(schedule.next(), async { set("soon", "b", 30) });
        assert_eq!(next, "soon");
        schedule.hurry(&class("b"));
        set("other", "b", 95);
        schedule.hurry(&class("a"));
        assert_eq!(schedule.next().await, "late");
        assert!(start.elapsed() < Duration::from_secs(32));
        schedule.hurry_all();
        assert_eq!(schedule.next().await, "other");
        assert!(start.elapsed() < Duration::from_secs(34));
    }
}
