//! When things are due. Phases come from a stable hash, so that bundles that were made together are not refreshed together, and a
//! restarted operator keeps to the phases of the one before.

use std::time::Duration;

use envlatch_bundle::{Code, Problem};

/// First and last pause after a failure that may pass by itself.
const TRANSIENT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// First and last pause after a failure that somebody has to do something about.
const LASTING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

/// From nine to eleven tenths of `interval`, always the same for `uid`.
pub(crate) fn jittered(uid: &str, interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * share(uid))
}

/// When a bundle is refreshed first that was in sync when the operator started: any time within its interval.
pub(crate) fn phase(uid: &str, interval: Duration) -> Duration {
    interval.mul_f64(share(uid))
}

/// How long to wait after so many failures in a row; `uid` spreads those who failed together.
pub(crate) fn pause(uid: &str, problem: &Problem, failures: u32) -> Duration {
    let (first, last) = match problem.code {
        Code::Unavailable | Code::ResourceExhausted => TRANSIENT,
        Code::InvalidArgument
        | Code::NotFound
        | Code::PermissionDenied
        | Code::FailedPrecondition => LASTING,
    };
    let pause = first
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(last);
    pause.mul_f64(0.5 + 0.5 * share(uid))
}

/// From 0 to 1, always the same for `uid`.
pub(crate) fn share(uid: &str) -> f64 {
    f64::from(hashed(uid.bytes())) / f64::from(u32::MAX)
}

/// FNV-1a and the finish of MurmurHash3: it must be the same in every version, which the standard library's hash does not promise, and
/// uids that differ in the last letter alone must lie far apart.
pub(crate) fn hashed(text: impl Iterator<Item = u8>) -> u32 {
    let mut hash = text.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    u32::try_from(hash >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(300);

    fn uids() -> impl Iterator<Item = String> {
        (0..1000).map(|n| format!("7c5a3f0e-0000-4000-8000-{n:012}"))
    }

    #[test]
    fn phases_are_stable_and_cover_the_interval() {
        let mut tenths = [0; 10];
        for uid in uids() {
            let share = phase(&uid, INTERVAL).as_secs_f64() / INTERVAL.as_secs_f64();
            tenths[((share * 10.0) as usize).min(9)] += 1;
            assert_eq!(phase(&uid, INTERVAL), phase(&uid, INTERVAL));
            let jittered = jittered(&uid, INTERVAL);
            assert!(jittered >= INTERVAL.mul_f64(0.9) && jittered <= INTERVAL.mul_f64(1.1));
        }
        assert!(
            tenths.iter().all(|count| (50..200).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn what_passes_by_itself_is_tried_soon_and_what_does_not_is_not() {
        let sealed = Problem::new(Code::Unavailable, "VaultSealed", "");
        let denied = Problem::new(Code::PermissionDenied, "VaultPermissionDenied", "");
        for uid in uids().take(20) {
            assert!(pause(&uid, &sealed, 0) <= TRANSIENT.0);
            assert!(pause(&uid, &sealed, 40) <= TRANSIENT.1);
            assert!(pause(&uid, &denied, 0) >= LASTING.0 / 2);
            assert!(pause(&uid, &denied, 40) >= LASTING.1 / 2);
        }
    }
}
