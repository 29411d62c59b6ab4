//! What was asked of servers since the start, and what became of it. Labels are kinds of call and status codes: never paths,
//! roles or pods.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Seconds: a server next door answers in a few milliseconds, and nothing is waited for longer than half a minute.
const BUCKETS: [f64; 10] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Counts and durations.
#[derive(Debug)]
pub struct Counters {
    /// Reads and writes that were sent
    pub requests: AtomicU64,
    /// Reads that were answered by a reply that another volume had asked for
    pub coalesced: AtomicU64,
    /// Requests that failed
    pub failures: AtomicU64,
    /// Renewals of tokens and leases
    pub renewals: AtomicU64,
    /// Tokens that were revoked
    pub revocations: AtomicU64,
    /// Refreshes that failed, so that older files stayed
    pub stale: AtomicU64,
    /// How long servers took, with a login where one was needed and whatever was repeated
    pub calls: Family<Call, Histogram>,
}

/// A kind of call, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Call {
    operation: &'static str,
    /// The HTTP status; `none` when there was no reply
    code: String,
}

// === impl Counters ===

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: AtomicU64::default(),
            coalesced: AtomicU64::default(),
            failures: AtomicU64::default(),
            renewals: AtomicU64::default(),
            revocations: AtomicU64::default(),
            stale: AtomicU64::default(),
            calls: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl Counters {
    pub(crate) fn answered(&self, operation: &'static str, status: Option<u16>, took: Duration) {
        let code = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.calls
            .get_or_create(&Call { operation, code })
            .observe(took.as_secs_f64());
    }
}
