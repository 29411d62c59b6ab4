//! When to do what: times for looking, acting and trying again. Nothing here knows a process or a server.

use std::time::{Duration, Instant};

/// How often files are compared when nobody tells that they changed.
pub(super) const BLIND: Duration = Duration::from_secs(10);

/// Pauses that double, with a bound. The last of several failures in a row decides.
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// How often in a row
    count: u32,
}

/// What is to be done, and when.
pub(super) struct Agenda {
    /// A file changed, and nobody has looked yet
    pub(super) changed: bool,
    /// When to compare without being told, and how often
    pub(super) look_at: Option<Instant>,
    pub(super) look_every: Option<Duration>,
    /// When to act on a change
    pub(super) act_at: Option<Instant>,
    /// What was not possible is not tried again before
    pub(super) not_before: Option<Instant>,
    pub(super) refresh: Backoff,
    /// The program is not restarted again before
    pub(super) restart_not_before: Option<Instant>,
    pub(super) restarts: Backoff,
}

/// A program that ran for so long since its last restart is not in a loop; that of kubelet.
pub(super) const SETTLED: Duration = Duration::from_secs(600);

// === impl Agenda ===

impl Agenda {
    /// `look_every` is for what nobody tells about.
    pub(super) fn new(look_every: Option<Duration>, now: Instant) -> Self {
        let mut agenda = Self {
            changed: false,
            look_at: None,
            look_every,
            act_at: None,
            not_before: None,
            refresh: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            restart_not_before: None,
            restarts: Backoff::new(Duration::from_secs(1), Duration::from_secs(300)),
        };
        agenda.looked(now);
        agenda
    }

    /// Whether it is time to compare.
    pub(super) fn must_look(&self, now: Instant) -> bool {
        self.changed || self.look_at.is_some_and(|at| at <= now)
    }

    /// Whether something failed so recently that it is not tried yet.
    pub(super) fn must_wait(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|at| at > now)
    }

    /// A comparison has ended well: the next is due after about an interval. Replicas that started together drift apart.
    pub(super) fn looked(&mut self, now: Instant) {
        self.look_at = self
            .look_every
            .map(|interval| now + interval.mul_f64(0.8 + 0.4 * fastrand::f64()));
    }

    /// Something failed: how often in a row.
    pub(super) fn failed(&mut self, now: Instant) -> u32 {
        let pause = self.refresh.next();
        self.not_before = Some(now + pause.mul_f64(0.5 + 0.5 * fastrand::f64()));
        self.refresh.count
    }

    /// Something succeeded: whether it had failed before.
    pub(super) fn succeeded(&mut self) -> bool {
        self.not_before = None;
        std::mem::take(&mut self.refresh.count) > 0
    }

    /// The program was restarted, after it had run for `ran`.
    pub(super) fn restarted(&mut self, ran: Duration, now: Instant) {
        if ran >= SETTLED {
            self.restarts.count = 0;
        }
        self.restart_not_before = Some(now + self.restarts.next());
    }

    /// The next time at which something may be due, when no worker is under way.
    pub(super) fn next(&self, renewal: Option<Instant>) -> Option<Instant> {
        let soon = self.changed.then(Instant::now);
        let tries = [soon, self.look_at, renewal].into_iter().flatten().min();
        let tries = tries.map(|at| self.tries_at(at));
        let acts = self.act_at.map(|at| self.acts_at(at));
        tries.into_iter().chain(acts).min()
    }

    /// When something that is due at `at` is tried.
    pub(super) fn tries_at(&self, at: Instant) -> Instant {
        self.not_before.map_or(at, |not_before| at.max(not_before))
    }

    /// When an action that is due at `at` is possible.
    pub(super) fn acts_at(&self, at: Instant) -> Instant {
        let bounds = [self.restart_not_before, self.not_before];
        bounds.into_iter().flatten().fold(at, Instant::max)
    }
}

// === impl Backoff ===

impl Backoff {
    fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            count: 0,
        }
    }

    fn next(&mut self) -> Duration {
        let pause = self.first.saturating_mul(2_u32.saturating_pow(self.count));
        self.count = self.count.saturating_add(1);
        pause.min(self.longest)
    }
}

/// Whether the failure of this number is worth a word: the first is, and then, minutes later, ever fewer.
pub(super) fn is_worth_a_word(failures: u32) -> bool {
    failures == 1 || failures >= 8 && failures.is_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_tried_again_ever_later_and_told_ever_less() {
        let start = Instant::now();
        let mut agenda = Agenda::new(None, start);
        let mut told = Vec::new();
        for number in 1..=40 {
            let failures = agenda.failed(start);
            assert!(agenda.must_wait(start));
            let pause = agenda.not_before.unwrap() - start;
            let bound =
                Duration::from_secs(1 << (number - 1_u32).min(6)).min(Duration::from_secs(60));
            assert!((bound / 2..=bound).contains(&pause), "{number}: {pause:?}");
            if is_worth_a_word(failures) {
                told.push(failures);
            }
        }
        assert_eq!(told, [1, 8, 16, 32]);
        assert!(agenda.succeeded());
        assert!(!agenda.must_wait(start) && !agenda.succeeded());
    }

    #[test]
    fn restarts_in_a_row_come_ever_slower() {
        let start = Instant::now();
        let mut agenda = Agenda::new(None, start);
        let mut pause = |ran| {
            agenda.restarted(ran, start);
            agenda.restart_not_before.unwrap() - start
        };
        let short = Duration::from_secs(1);
        let pauses: Vec<_> = (0..10).map(|_| pause(short).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(pause(SETTLED).as_secs(), 1);
    }

    #[test]
    fn nothing_is_due_when_nothing_happens() {
        let now = Instant::now();
        assert_eq!(Agenda::new(None, now).next(None), None);
        let agenda = Agenda::new(Some(Duration::from_secs(100)), now);
        let wait = agenda.next(None).unwrap() - now;
        assert!((80..=120).contains(&wait.as_secs()), "{wait:?}");
    }
}
