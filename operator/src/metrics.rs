//! Figures for monitoring, in the OpenMetrics text format. Labels are reasons and names of stores, never of bundles.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::operator::Operator;
use crate::queue::Class;

/// Seconds; a turn takes milliseconds, one with a slow server seconds.
const BUCKETS: [f64; 11] = [
    0.0005, 0.002, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0,
];

/// What happened.
#[derive(Debug)]
pub(crate) struct Metrics {
    turns: Family<Outcome, Histogram>,
    /// Secrets that were written
    pub(crate) writes: Counter,
    /// Secrets that were put right after somebody else changed or deleted them
    pub(crate) restored: Counter,
    /// Statuses that were written
    pub(crate) statuses: Counter,
    /// Workloads that were restarted
    pub(crate) restarts: Counter,
    /// Restarts that failed
    pub(crate) restart_failures: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    reason: &'static str,
}

/// What is so at the moment.
#[derive(Debug)]
pub(crate) struct Present(Arc<Operator>);

// === impl Metrics ===

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            turns: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            writes: Counter::default(),
            restored: Counter::default(),
            statuses: Counter::default(),
            restarts: Counter::default(),
            restart_failures: Counter::default(),
        };
        registry.register(
            "turn_duration_seconds",
            "How long work on a bundle took, by its outcome",
            metrics.turns.clone(),
        );
        registry.register(
            "secret_writes",
            "Secrets that were written",
            metrics.writes.clone(),
        );
        registry.register(
            "secrets_restored",
            "Secrets that were put right after somebody else had changed or deleted them",
            metrics.restored.clone(),
        );
        registry.register(
            "status_writes",
            "Statuses that were written",
            metrics.statuses.clone(),
        );
        registry.register(
            "workload_restarts",
            "Workloads that were restarted",
            metrics.restarts.clone(),
        );
        registry.register(
            "workload_restart_failures",
            "Attempts to restart a workload that failed",
            metrics.restart_failures.clone(),
        );
        metrics
    }

    pub(crate) fn turned(&self, reason: &'static str, took: Duration) {
        self.turns
            .get_or_create(&Outcome { reason })
            .observe(took.as_secs_f64());
    }
}

// === impl Present ===

impl Present {
    pub(crate) fn new(operator: Arc<Operator>) -> Self {
        Self(operator)
    }
}

impl Present {
    /// What is absent has no time: nothing waits, or nothing was issued.
    fn encode_times(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let operator = &self.0;
        let due = operator.queue.first_due();
        let end = operator.first_end();
        for (name, help, value) in [
            (
                "next_due_seconds",
                "How long until the next bundle is due",
                due.map(|due| due.saturating_duration_since(Instant::now())),
            ),
            (
                "oldest_content_seconds",
                "How long ago the server confirmed the content of the Secret that waits for it longest",
                operator.oldest(),
            ),
            (
                "first_expiry_seconds",
                "How long until the first lease or certificate ends unless it is renewed or replaced",
                end.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default()),
            ),
        ] {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value.as_secs_f64());
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        use std::sync::atomic::Ordering::Relaxed;
        let operator = &self.0;
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (name, help, value) in [
            (
                "bundles",
                "Bundles that are synced",
                count(operator.bundles()),
            ),
            (
                "shards",
                "Shards whose bundles this replica works on",
                count(operator.shards.working()),
            ),
            (
                "bundles_failing",
                "Bundles whose last turn failed",
                count(operator.failing()),
            ),
            (
                "changes_waiting",
                "New and changed bundles that wait for a worker",
                count(operator.queue.overdue(Class::Change)),
            ),
            (
                "refreshes_waiting",
                "Bundles whose refresh is due and that wait for a worker",
                count(operator.queue.overdue(Class::Timer)),
            ),
            (
                "stores_unavailable",
                "Stores that are left alone because they are sealed, away or asked too much",
                count(operator.gates.closed()),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        self.encode_times(&mut encoder)?;
        let counters = operator.fetcher.counters();
        for (name, help, value) in [
            (
                "vault_requests",
                "Reads and writes that were sent to servers",
                &counters.requests,
            ),
            (
                "vault_reads_coalesced",
                "Reads that another bundle's reply answered",
                &counters.coalesced,
            ),
            (
                "vault_failures",
                "Requests to servers that failed",
                &counters.failures,
            ),
            (
                "vault_renewals",
                "Renewals of tokens and leases",
                &counters.renewals,
            ),
            (
                "vault_revocations",
                "Tokens that were revoked",
                &counters.revocations,
            ),
        ] {
            let counter = ConstCounter::new(value.load(Relaxed));
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        Ok(())
    }
}
