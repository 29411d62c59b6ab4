//! How long to wait between rounds: exponential with full jitter, so that programs that failed together do not return together.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// The pauses of one operation.
#[derive(Default)]
pub(super) struct Pace {
    rounds: u32,
}

// === impl Pace ===

impl Pace {
    /// Pauses so far.
    pub(super) fn rounds(&self) -> u32 {
        self.rounds
    }

    /// The next pause: anything from nothing to the bound, which doubles each time up to [`LONGEST`].
    pub(super) fn next(&mut self) -> Duration {
        let bound = bound(self.rounds);
        self.rounds += 1;
        bound.mul_f64(fastrand::f64())
    }
}

fn bound(rounds: u32) -> Duration {
    FIRST
        .saturating_mul(2_u32.saturating_pow(rounds))
        .min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_longest() {
        let bounds: Vec<u128> = [0, 1, 2, 4, 5, 40, u32::MAX]
            .map(|rounds| bound(rounds).as_millis())
            .into();
        assert_eq!(bounds, [100, 200, 400, 1600, 2000, 2000, 2000]);
    }

    #[test]
    fn pauses_are_spread_below_the_bound() {
        let pauses: Vec<Duration> = (0..200).map(|_| Pace { rounds: 30 }.next()).collect();
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses.iter().any(|pause| *pause < LONGEST / 4));
        assert!(pauses.iter().any(|pause| *pause > LONGEST * 3 / 4));
    }
}
