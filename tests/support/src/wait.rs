//! Waiting for what happens elsewhere.

use std::thread;
use std::time::{Duration, Instant};

/// Calls `probe` every 20 ms until it returns something, for at most `deadline`.
///
/// # Panics
/// When the deadline passes; `what` says in the message what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
