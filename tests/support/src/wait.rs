//! Waiting for what happens elsewhere.

use std::thread;
use std::time::{Duration, Instant};

/// Calls `probe` every 20 ms until it returns something, for at most `deadline`, and once more after that: whoever was paused past the
/// deadline has not seen what came before it.
///
/// # Panics
/// When the deadline passes; `what` says in the message what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, deadline: Duration, probe: impl FnMut() -> Option<T>) -> T {
    within(deadline, probe).unwrap_or_else(|| panic!("not within {deadline:?}: {what}"))
}

/// The same for what may not happen: then it returns nothing.
pub fn within<T>(deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    let mut is_last = false;
    loop {
        let found = probe();
        if found.is_some() || is_last {
            return found;
        }
        thread::sleep(Duration::from_millis(20));
        is_last = Instant::now() >= end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_deadline_it_is_looked_once_more() {
        let mut looks = 0;
        eventually("a second look", Duration::ZERO, || {
            looks += 1;
            (looks == 2).then_some(())
        });
    }

    #[test]
    #[should_panic(expected = "not within 0ns: a third look")]
    fn what_does_not_come_ends_the_test() {
        let mut looks = 0;
        eventually("a third look", Duration::ZERO, || {
            looks += 1;
            (looks == 3).then_some(())
        });
    }
}
