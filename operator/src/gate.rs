//! A server that is sealed, away or asked too much is one state of its store, not a failure of each bundle: while it lasts, the store
//! is tried now and then, and everybody else waits.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envlatch_bundle::Problem;
use tokio::time::Instant;

/// First and last pause between attempts.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// How long one attempt may take.
const PROBE: Duration = Duration::from_secs(12);

/// The stores that are left alone.
#[derive(Default)]
pub(crate) struct Gates(Mutex<HashMap<String, Gate>>);

struct Gate {
    until: Instant,
    /// Until when whoever passed has time to find out
    probe: Option<Instant>,
    pause: Duration,
    problem: Problem,
}

// === impl Gates ===

impl Gates {
    /// Whether `store` may be asked. The first who may after a pause finds out for all.
    ///
    /// # Errors
    /// Until when not, and why.
    pub(crate) fn check(&self, store: &str) -> Result<(), (Instant, Problem)> {
        let mut gates = self.gates();
        let Some(gate) = gates.get_mut(store) else {
            return Ok(());
        };
        let now = Instant::now();
        let closed = [Some(gate.until), gate.probe]
            .into_iter()
            .flatten()
            .find(|until| *until > now);
        if let Some(until) = closed {
            return Err((until, gate.problem.clone()));
        }
        gate.probe = Some(now + PROBE);
        Ok(())
    }

    /// `store` answered.
    pub(crate) fn open(&self, store: &str) {
        self.gates().remove(store);
    }

    /// What a request to `store` failed with, in the words of whoever found out first, and until when it is left alone; `None` when that
    /// is no state of the store.
    pub(crate) fn failed(&self, store: &str, problem: &Problem) -> Option<(Instant, Problem)> {
        let is_of_store = matches!(
            problem.reason,
            "VaultSealed" | "VaultStandby" | "VaultRateLimited" | "VaultUnreachable"
        );
        if !is_of_store {
            return None;
        }
        let mut gates = self.gates();
        let now = Instant::now();
        let pause = match gates.get(store) {
            // Requests that were under way together fail together, and count once.
            Some(gate) if gate.until > now && gate.probe.is_none() => {
                return Some((gate.until, gate.problem.clone()));
            }
            Some(gate) => (gate.pause * 2).min(PAUSE.1),
            None => PAUSE.0,
        };
        let until = now + pause;
        let gate = Gate {
            until,
            probe: None,
            pause,
            problem: problem.clone(),
        };
        gates.insert(store.to_owned(), gate);
        Some((until, problem.clone()))
    }

    /// How many stores are left alone.
    pub(crate) fn closed(&self) -> usize {
        self.gates().len()
    }

    fn gates(&self) -> MutexGuard<'_, HashMap<String, Gate>> {
        // Entries are replaced whole, so a panic elsewhere cannot have broken the map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use envlatch_bundle::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_finds_out_for_all() {
        let gates = Gates::default();
        let sealed = Problem::new(Code::Unavailable, "VaultSealed", "sealed");
        let denied = Problem::new(Code::PermissionDenied, "VaultPermissionDenied", "denied");
        let told = |problem: &Problem| gates.failed("main", problem).map(|(_, told)| told);
        assert_eq!(told(&denied), None);
        assert!(gates.check("main").is_ok());
        assert_eq!(told(&sealed), Some(sealed.clone()));
        let late = Problem::new(Code::Unavailable, "VaultUnreachable", "late");
        assert_eq!(told(&late), Some(sealed.clone()));
        let (until, problem) = gates.check("main").unwrap_err();
        assert_eq!(problem, sealed);
        assert!(gates.check("other").is_ok());
        tokio::time::advance(until - Instant::now()).await;
        assert!(gates.check("main").is_ok());
        assert!(gates.check("main").is_err());
        gates.open("main");
        assert!(gates.check("main").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_their_limit() {
        let gates = Gates::default();
        for _ in 0..20 {
            gates.failed(
                "main",
                &Problem::new(Code::Unavailable, "VaultSealed", "sealed"),
            );
            let (until, _) = gates.check("main").unwrap_err();
            tokio::time::advance(until - Instant::now()).await;
            gates.check("main").unwrap();
        }
        gates.failed(
            "main",
            &Problem::new(Code::Unavailable, "VaultSealed", "sealed"),
        );
        let (until, _) = gates.check("main").unwrap_err();
        assert!(until - Instant::now() <= PAUSE.1);
    }
}
