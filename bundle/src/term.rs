//! How long something lives that was issued: when it is renewed, and from when on it must be replaced.
//!
//! A renewal that gave less than was asked for was cut by a maximum: no other will give more, so the end is known. It is
//! replaced early enough that programs find the new files before the old credential ends.

use std::time::Duration;

use envlatch_vault::{Class, Error};
use tokio::time::Instant;

use crate::journal::{TermState, now, until};

/// How soon a failed renewal is repeated, at most and at least.
const REPEAT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How far apart kubelet's calls are, at most: after a restart only they bring a token to log in with. Its pods are synced once
/// in 60 to 90 seconds.
const CALLS: Duration = Duration::from_secs(100);
/// What a server may round off.
const ROUNDED: Duration = Duration::from_secs(1);

/// How long something lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    /// When to renew it; `None` when that is impossible, or would put off nothing
    pub(crate) renew: Option<Instant>,
    pub(crate) ends: Instant,
    /// What it was issued for
    pub(crate) whole: Duration,
}

// === impl Term ===

impl Term {
    pub(crate) fn new(whole: Duration, renewable: bool) -> Self {
        let now = Instant::now();
        Self {
            renew: renewable.then(|| now + whole * 2 / 3),
            ends: now + whole,
            whole,
        }
    }

    /// What an earlier process journalled. Clocks can have been set meanwhile, so nothing has more time left than it was given, and
    /// what seems to have ended is renewed before it is believed.
    pub(crate) fn resumed(state: TermState, share: f64) -> Self {
        let now = Instant::now();
        let whole = Duration::from_secs(state.whole);
        let left = until(state.ends).min(whole);
        let renew = left
            .saturating_sub(whole / 3)
            .min(whole.mul_f64(share / 6.0));
        Self {
            renew: (!state.last).then(|| now + renew),
            ends: now + left,
            whole,
        }
    }

    pub(crate) fn state(self) -> TermState {
        let left = self.ends.saturating_duration_since(Instant::now());
        TermState {
            ends: now() + left.as_secs(),
            whole: self.whole.as_secs(),
            last: self.is_last(),
        }
    }

    /// Whether its end cannot be put off any more.
    pub(crate) fn is_last(&self) -> bool {
        self.renew.is_none()
    }

    /// From when on it must be replaced, once it is the last: a third of its time before the end, and where that is little, as
    /// much as kubelet may take to call, up to half of it.
    pub(crate) fn replace_at(&self) -> Instant {
        self.ends - (self.whole / 3).max(CALLS.min(self.whole / 2))
    }

    /// When something is to be done about it next.
    pub(crate) fn changes(&self) -> Instant {
        self.renew.unwrap_or_else(|| self.replace_at())
    }

    /// The term after a renewal that gave so much time, or failed.
    /// A lease that is refused is gone, while a token may only be one that cannot be renewed.
    pub(crate) fn after(self, outcome: Result<Duration, Error>, refused_is_gone: bool) -> Self {
        let now = Instant::now();
        match outcome {
            Ok(granted) => self.renewed(granted),
            Err(error)
                if matches!(
                    error.class(),
                    Class::Denied | Class::NotFound | Class::Rejected
                ) =>
            {
                Self {
                    renew: None,
                    ends: if refused_is_gone { now } else { self.ends },
                    ..self
                }
            }
            Err(_) => Self {
                renew: Some(now + (self.whole / 12).clamp(REPEAT.0, REPEAT.1)),
                ..self
            },
        }
    }

    fn renewed(self, granted: Duration) -> Self {
        let now = Instant::now();
        let is_cut = granted + ROUNDED < self.whole;
        Self {
            renew: (!is_cut).then(|| now + granted * 2 / 3),
            ends: now + granted,
            whole: self.whole.max(granted),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Renews a lease of `whole` as a server does that ends it at `maximum`. When it is to be replaced, and when it ends.
    async fn live(whole: u64, maximum: u64) -> (u64, u64) {
        let start = Instant::now();
        let mut term = Term::new(seconds(whole), true);
        while let Some(renew) = term.renew {
            advance(renew - Instant::now()).await;
            let left = seconds(maximum).saturating_sub(start.elapsed());
            term = term.renewed(left.min(seconds(whole)));
        }
        let at = |then: Instant| (then - start).as_secs();
        (at(term.replace_at()), at(term.ends))
    }

    #[tokio::test(start_paused = true)]
    async fn before_the_maximum_there_is_time_for_a_call_or_half_of_the_lease() {
        for (whole, maximum, replace) in [
            (6, 15, 12),
            (12, 30, 24),
            (20, 40, 30),
            (20, 120, 110),
            (120, 600, 540),
            (200, 1000, 900),
            (3600, 86400, 85200),
        ] {
            let (found, ends) = live(whole, maximum).await;
            assert_eq!((found, ends), (replace, maximum), "{whole} of {maximum}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_renewed_is_replaced_before_it_ends() {
        for (whole, replace) in [(10, 5), (120, 60), (300, 200), (86400, 57600)] {
            let term = Term::new(seconds(whole), false);
            assert!(term.is_last());
            let found = term.replace_at() - Instant::now();
            assert_eq!(found, seconds(replace), "{whole}");
        }
    }

    const WHOLE: u64 = 600;

    /// When something is renewed and ends, by a clock that says that this many seconds are left.
    fn resumed(left: i64, last: bool) -> (Option<u64>, u64) {
        let ends = now().saturating_add_signed(left);
        let state = TermState {
            ends,
            whole: WHOLE,
            last,
        };
        let term = Term::resumed(state, 1.0);
        let from_now = |at: Instant| (at - Instant::now()).as_secs_f64().round() as u64;
        (term.renew.map(from_now), from_now(term.ends))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_continued_is_renewed_soon_whatever_the_clock_says() {
        // Not later than a sixth of its time, and before a third of it is left.
        let (renew, ends) = resumed(500, false);
        assert_eq!(renew, Some(100));
        assert!((499..=500).contains(&ends), "{ends}");
        let (renew, _) = resumed(210, false);
        assert!(matches!(renew, Some(9..=10)), "{renew:?}");
        // The clock was set an hour back: nothing has more left than it was given.
        assert_eq!(resumed(3600, false), (Some(100), WHOLE));
        // It was set an hour forward: what seems to have ended is renewed before that is believed.
        assert_eq!(resumed(-3600, false), (Some(0), 0));
        // What cannot be renewed any more is not.
        assert_eq!(resumed(500, true).0, None);
    }
}
