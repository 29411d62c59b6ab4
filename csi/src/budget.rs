//! How much memory volumes may take: the pages of a tmpfs are charged to this container, and a container that mounts its
//! volume writable can fill it. So what counts is the size that a volume may grow to, not what is in it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use crate::target::Target;

/// What is reserved, and how much may be.
#[derive(Debug)]
pub struct Budget {
    /// Bytes of all volumes.
    node: u64,
    /// Bytes of the volumes of one namespace.
    namespace: u64,
    reserved: Mutex<HashMap<Target, Reserved>>,
}

#[derive(Clone, Debug)]
struct Reserved {
    /// `None` when it is not known any more: what was mounted before the state was lost.
    namespace: Option<String>,
    bytes: u64,
}

/// A volume does not fit.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "needs {needed} bytes (twice its files, for refreshing, and some room), but volumes of {scope} have {used} of {limit} bytes already; raise {setting}, or mount less"
)]
pub struct Exceeded {
    needed: u64,
    used: u64,
    limit: u64,
    scope: String,
    setting: &'static str,
}

// === impl Budget ===

impl Budget {
    /// Limits in bytes for the whole node and for each namespace.
    #[must_use]
    pub fn new(node: u64, namespace: u64) -> Self {
        Self {
            node,
            namespace,
            reserved: Mutex::default(),
        }
    }

    /// Reserves `bytes` for `target`, instead of what it had. Gives what it had, for [`restore`](Self::restore).
    ///
    /// # Errors
    /// They do not fit; it keeps what it had.
    pub fn reserve(&self, target: &Target, namespace: &str, bytes: u64) -> Result<u64, Exceeded> {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let others = |counts: &dyn Fn(&Reserved) -> bool| -> u64 {
            reserved
                .iter()
                .filter(|(other, held)| *other != target && counts(held))
                .map(|(_, held)| held.bytes)
                .sum()
        };
        let in_namespace = |held: &Reserved| held.namespace.as_deref() == Some(namespace);
        let scopes = [
            (
                others(&in_namespace),
                self.namespace,
                format!("namespace {namespace} on this node"),
                "csi.budget.namespace (--namespace-budget)",
            ),
            (
                others(&|_| true),
                self.node,
                "this node".to_owned(),
                "csi.budget.node (--node-budget)",
            ),
        ];
        for (used, limit, scope, setting) in scopes {
            if used.saturating_add(bytes) > limit {
                return Err(Exceeded {
                    needed: bytes,
                    used,
                    limit,
                    scope,
                    setting,
                });
            }
        }
        let held = Reserved {
            namespace: Some(namespace.to_owned()),
            bytes,
        };
        Ok(reserved
            .insert(target.clone(), held)
            .map_or(0, |before| before.bytes))
    }

    /// Books what is mounted already, within the limits or not.
    pub fn restore(&self, target: &Target, namespace: Option<&str>, bytes: u64) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes == 0 {
            reserved.remove(target);
        } else {
            let namespace = namespace.map(str::to_owned);
            reserved.insert(target.clone(), Reserved { namespace, bytes });
        }
    }

    /// The volume is gone.
    pub fn release(&self, target: &Target) {
        self.restore(target, None, 0);
    }

    /// Volumes and bytes reserved.
    #[must_use]
    pub fn totals(&self) -> (usize, u64) {
        let reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        (
            reserved.len(),
            reserved.values().map(|held| held.bytes).sum(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(volume: &str) -> Target {
        Target::new("0f8fad5bd9cb469fa16570867728950e", volume).unwrap()
    }

    #[test]
    fn a_namespace_that_is_full_leaves_room_for_others() {
        let budget = Budget::new(100, 40);
        assert_eq!(budget.reserve(&target("a"), "one", 30), Ok(0));
        let exceeded = budget.reserve(&target("b"), "one", 20).unwrap_err();
        assert_eq!(
            exceeded.to_string(),
            "needs 20 bytes (twice its files, for refreshing, and some room), but volumes of namespace one on this node \
             have 30 of 40 bytes already; raise csi.budget.namespace (--namespace-budget), or mount less"
        );
        assert_eq!(budget.reserve(&target("b"), "two", 20), Ok(0));
        assert_eq!(budget.reserve(&target("c"), "three", 40), Ok(0));
        assert!(budget.reserve(&target("d"), "four", 11).is_err());
        budget.release(&target("b"));
        assert_eq!(budget.reserve(&target("d"), "four", 11), Ok(0));
        assert_eq!(budget.totals(), (3, 81));
    }

    #[test]
    fn a_volume_is_counted_once() {
        let budget = Budget::new(100, 40);
        assert_eq!(budget.reserve(&target("a"), "one", 30), Ok(0));
        assert_eq!(budget.reserve(&target("a"), "one", 40), Ok(30));
        assert!(budget.reserve(&target("a"), "one", 41).is_err());
        assert_eq!(budget.totals(), (1, 40));
    }

    #[test]
    fn what_was_mounted_before_counts_beyond_the_limit() {
        let budget = Budget::new(100, 40);
        budget.restore(&target("a"), None, 90);
        assert!(budget.reserve(&target("b"), "one", 11).is_err());
        assert_eq!(budget.reserve(&target("b"), "one", 10), Ok(0));
    }
}
