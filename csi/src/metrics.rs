//! Figures for monitoring, in the Prometheus text format. Labels are names of calls and codes, never of secrets or pods.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tonic::Code;

/// Seconds; a mount takes milliseconds, a held one minutes.
const BUCKETS: [f64; 12] = [
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 120.0,
];

/// The node half's figures.
#[derive(Debug)]
pub struct Metrics {
    calls: Family<Call, Histogram>,
    mounts: Family<Ended, Histogram>,
    refreshes: Family<Refreshed, Histogram>,
    /// Refreshes that left the old files.
    pub(crate) refresh_failures: Counter,
    /// Publishes that found a volume of the driver before us.
    pub(crate) foreign: Counter,
    /// Mounted volumes.
    pub(crate) volumes: Gauge,
    /// Bytes reserved by them.
    pub(crate) reserved: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    method: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refreshed {
    outcome: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            mounts: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            refreshes: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            refresh_failures: Counter::default(),
            foreign: Counter::default(),
            volumes: Gauge::default(),
            reserved: Gauge::default(),
        };
        registry.register_with_unit(
            "call_duration",
            "How long kubelet's calls took",
            Unit::Seconds,
            metrics.calls.clone(),
        );
        registry.register_with_unit(
            "mount_duration",
            "How long first mounts took, with all that was fetched for them",
            Unit::Seconds,
            metrics.mounts.clone(),
        );
        registry.register_with_unit(
            "refresh_duration",
            "How long it took to look after mounted volumes, whether or not something was due",
            Unit::Seconds,
            metrics.refreshes.clone(),
        );
        registry.register(
            "refresh_failures",
            "Refreshes that failed and left the files as they were",
            metrics.refresh_failures.clone(),
        );
        registry.register(
            "foreign_republishes",
            "Publishes of volumes that another driver mounted, which are left alone",
            metrics.foreign.clone(),
        );
        registry.register(
            "volumes",
            "Volumes that are mounted or being mounted",
            metrics.volumes.clone(),
        );
        registry.register_with_unit(
            "volumes_reserved",
            "Memory that they may grow to",
            Unit::Bytes,
            metrics.reserved.clone(),
        );
        metrics
    }

    pub(crate) fn called(&self, method: &'static str, code: Code, took: Duration) {
        let code = format!("{code:?}");
        self.calls
            .get_or_create(&Call { method, code })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn mounted(&self, code: Code, took: Duration) {
        let code = format!("{code:?}");
        self.mounts
            .get_or_create(&Ended { code })
            .observe(took.as_secs_f64());
    }

    /// `outcome` is one of a few words.
    pub(crate) fn refreshed(&self, outcome: &'static str, took: Duration) {
        self.refreshes
            .get_or_create(&Refreshed { outcome })
            .observe(took.as_secs_f64());
    }
}
