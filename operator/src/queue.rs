//! Whose turn it is: what is new or has changed first, refreshes after, nobody twice at once.
//!
//! kube's own controller orders by time alone, so a new bundle would wait behind every refresh that is due. Here refreshes also
//! get three quarters of the workers at most.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Why something is in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// It is new, it has changed, or somebody tampered with it
    Change,
    /// Its time has come
    Timer,
}

/// A queue that workers wait on.
pub(crate) struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    most_timers: usize,
}

struct State<K> {
    due: HashMap<(Class, K), Instant>,
    /// The same by time
    order: HashMap<Class, BTreeSet<(Instant, K)>>,
    running: HashSet<K>,
    timers_running: usize,
}

// === impl Queue ===

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            state: Mutex::new(State {
                due: HashMap::new(),
                order: HashMap::new(),
                running: HashSet::new(),
                timers_running: 0,
            }),
            changed: Notify::new(),
            most_timers: (workers * 3 / 4).max(1),
        }
    }

    /// Wants `key` to be worked on at `at`, or earlier if that was wanted before.
    pub(crate) fn add(&self, key: K, class: Class, at: Instant) {
        self.state().add(key, class, at);
        self.changed.notify_one();
    }

    /// The next key, when its time has come. [`done`](Self::done) must follow.
    pub(crate) async fn next(&self) -> (K, Class) {
        loop {
            let now = Instant::now();
            let next = {
                let mut state = self.state();
                match state.take(now, self.most_timers) {
                    Some(taken) => {
                        drop(state);
                        // There may be another one for another worker.
                        self.changed.notify_one();
                        return taken;
                    }
                    None => state.next_time(self.most_timers),
                }
            };
            let until = next.unwrap_or(now + Duration::from_secs(3600));
            // Elapsed or notified, the queue is looked at again.
            drop(timeout_at(until, self.changed.notified()).await);
        }
    }

    /// `key`, which was taken as `class`, was worked on.
    pub(crate) fn done(&self, key: &K, class: Class) {
        let mut state = self.state();
        state.running.remove(key);
        state.timers_running -= usize::from(class == Class::Timer);
        drop(state);
        self.changed.notify_one();
    }

    /// Nothing is to be done for `key` any more.
    pub(crate) fn forget(&self, key: &K) {
        self.state().remove(key);
    }

    /// When the first of those that wait is due.
    pub(crate) fn first_due(&self) -> Option<Instant> {
        let state = self.state();
        let firsts = state.order.values().filter_map(BTreeSet::first);
        firsts.map(|(at, _)| *at).min()
    }

    /// Whether one of those is worked on.
    pub(crate) fn is_running(&self, of: impl Fn(&K) -> bool) -> bool {
        self.state().running.iter().any(of)
    }

    /// How many wait whose time has come.
    pub(crate) fn overdue(&self, class: Class) -> usize {
        let now = Instant::now();
        let state = self.state();
        state.order.get(&class).map_or(0, |order| {
            order.iter().take_while(|(at, _)| *at <= now).count()
        })
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        // Every change keeps both views equal and cannot panic in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn add(&mut self, key: K, class: Class, at: Instant) {
        let slot = self.due.get(&(class, key.clone())).copied();
        if slot.is_some_and(|earlier| earlier <= at) {
            return;
        }
        let order = self.order.entry(class).or_default();
        if let Some(later) = slot {
            order.remove(&(later, key.clone()));
        }
        order.insert((at, key.clone()));
        self.due.insert((class, key), at);
    }

    fn take(&mut self, now: Instant, most_timers: usize) -> Option<(K, Class)> {
        for class in [Class::Change, Class::Timer] {
            if class == Class::Timer && self.timers_running >= most_timers {
                return None;
            }
            let mut due = self
                .order
                .get(&class)
                .into_iter()
                .flatten()
                .take_while(|(at, _)| *at <= now);
            let found = due.find(|(_, key)| !self.running.contains(key));
            if let Some((_, key)) = found.cloned() {
                self.remove(&key);
                self.running.insert(key.clone());
                self.timers_running += usize::from(class == Class::Timer);
                return Some((key, class));
            }
        }
        None
    }

    fn next_time(&self, most_timers: usize) -> Option<Instant> {
        let first = |class| {
            let order: &BTreeSet<(Instant, K)> = self.order.get(&class)?;
            let mut waiting = order.iter().filter(|(_, key)| !self.running.contains(key));
            waiting.next().map(|(at, _)| *at)
        };
        let timers = first(Class::Timer).filter(|_| self.timers_running < most_timers);
        first(Class::Change).into_iter().chain(timers).min()
    }

    fn remove(&mut self, key: &K) {
        for class in [Class::Change, Class::Timer] {
            if let Some(at) = self.due.remove(&(class, key.clone()))
                && let Some(order) = self.order.get_mut(&class)
            {
                order.remove(&(at, key.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_new_comes_before_every_refresh() {
        let queue = Queue::new(4);
        let now = Instant::now();
        for n in 0..100 {
            queue.add(format!("refresh-{n:03}"), Class::Timer, now);
        }
        queue.add("new".to_owned(), Class::Change, now);
        assert_eq!(queue.next().await, ("new".to_owned(), Class::Change));
        assert_eq!(queue.next().await, ("refresh-000".to_owned(), Class::Timer));
        assert_eq!(queue.overdue(Class::Timer), 99);
    }

    #[tokio::test(start_paused = true)]
    async fn refreshes_leave_workers_free() {
        let queue = Queue::new(4);
        let now = Instant::now();
        for n in 0..9 {
            queue.add(n, Class::Timer, now);
        }
        for _ in 0..3 {
            queue.next().await;
        }
        let fourth = tokio::time::timeout(SECOND, queue.next()).await;
        assert!(fourth.is_err(), "{fourth:?}");
        queue.add(100, Class::Change, Instant::now());
        assert_eq!(queue.next().await, (100, Class::Change));
        queue.done(&0, Class::Timer);
        assert_eq!(queue.next().await.1, Class::Timer);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_worked_on_twice_at_once_and_nothing_is_lost_meanwhile() {
        let queue = Queue::new(4);
        queue.add("a", Class::Change, Instant::now());
        let (key, class) = queue.next().await;
        queue.add("a", Class::Change, Instant::now());
        assert!(tokio::time::timeout(SECOND, queue.next()).await.is_err());
        queue.done(&key, class);
        assert_eq!(queue.next().await, ("a", Class::Change));
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_time_counts_and_a_change_takes_the_timer_along() {
        let queue = Queue::new(4);
        let now = Instant::now();
        queue.add("a", Class::Timer, now + 10 * SECOND);
        queue.add("a", Class::Timer, now + 5 * SECOND);
        queue.add("a", Class::Timer, now + 20 * SECOND);
        assert_eq!(queue.next().await, ("a", Class::Timer));
        assert_eq!(now.elapsed(), 5 * SECOND);
        queue.done(&"a", Class::Timer);
        queue.add("b", Class::Timer, Instant::now() + SECOND);
        queue.add("b", Class::Change, Instant::now());
        assert_eq!(queue.next().await, ("b", Class::Change));
        queue.done(&"b", Class::Change);
        assert!(
            tokio::time::timeout(60 * SECOND, queue.next())
                .await
                .is_err()
        );
    }
}
