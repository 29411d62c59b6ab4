//! The source of the plugin: bundles and foreign classes, fetched by the crate envlatch-bundle.
//!
//! Only types change hands here. Names are checked by this crate's own types before a server is asked, so that what comes back
//! can be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use envlatch_bundle::{Bundles, Code, Counters, Memory, Options, Problem, Staleness};
use envlatch_secret::Secret;
use envlatch_service::kubernetes::KubernetesSettings;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::Context;
use crate::content::{Content, File, Mode, MountPath};
use crate::journal::{Journal, Kind};
use crate::source::{Fetched, Mounted, Source, SourceError, VolumeRequest};

/// A little less than what the node half gives a first mount, so that the cause is reported and not a lapse of time.
const MARGIN: Duration = Duration::from_secs(2);

/// Flags; each can also be given as the environment variable that its help names.
#[derive(Args, Clone, Debug)]
pub struct BundleSettings {
    /// How old files may become when their class does not say; leases are renewed in time whatever this is
    #[arg(long, env = "ENVLATCH_REFRESH", default_value = "2m", value_parser = humantime::parse_duration)]
    pub refresh: Duration,

    /// Also mount bundles and SecretProviderClasses into pods that do not declare the volume readOnly
    #[arg(long, env = "ENVLATCH_ALLOW_WRITABLE")]
    pub allow_writable: bool,

    /// Write SecretProviderClassPodStatus as the Secrets Store CSI Driver does
    #[arg(long, env = "ENVLATCH_POD_STATUS")]
    pub pod_status: bool,

    /// Where the API server is
    #[command(flatten)]
    pub kubernetes: KubernetesSettings,
}

/// Fetches what pods name in `volumeAttributes`.
pub struct BundleSource(Arc<Bundles>);

/// The counters of the bundles, as metrics.
struct Figures(Arc<Bundles>);

// === impl BundleSource ===

impl BundleSource {
    /// Uses the API server that `settings` name.
    ///
    /// # Errors
    /// They name none, or a file that cannot be used.
    pub fn new(
        context: Context<'_>,
        settings: &BundleSettings,
        publish_timeout: Duration,
    ) -> Result<Self, String> {
        let client = settings.kubernetes.client(None);
        let client = client.map_err(|error| error.to_string())?;
        let options = Options {
            node: context.node_name,
            refresh: settings.refresh,
            hold: publish_timeout.saturating_sub(MARGIN),
            require_read_only: !settings.allow_writable,
            pod_status: settings.pod_status,
            check_names,
        };
        let bundles = Arc::new(Bundles::new(client, options, Arc::new(context.journal)));
        context
            .registry
            .register_collector(Box::new(Figures(Arc::clone(&bundles))));
        context.registry.register_with_unit(
            "server_call_duration",
            "How long servers took to answer, by kind of call and status",
            Unit::Seconds,
            bundles.counters().calls.clone(),
        );
        Ok(Self(bundles))
    }
}

impl Source for BundleSource {
    async fn fetch(
        &self,
        request: &VolumeRequest,
        mounted: Option<&Mounted>,
    ) -> Result<Fetched, SourceError> {
        match self.0.fetch(request, mounted).await {
            Ok(envlatch_bundle::Fetched::Unchanged) => Ok(Fetched::Unchanged),
            Ok(envlatch_bundle::Fetched::Files { files, state }) => {
                let content = content(files).map_err(|text| error(Problem::invalid(text)))?;
                Ok(Fetched::Content { content, state })
            }
            Err(problem) => Err(error(problem)),
        }
    }

    async fn due(&self) -> String {
        self.0.due().await
    }

    fn resume(&self, volume_id: &str, state: &Secret) {
        self.0.resume(volume_id, state);
    }

    async fn flush(&self, within: Duration) {
        self.0.flush(within).await;
    }

    async fn forget(&self, volume_id: &str, state: Option<&Secret>) {
        self.0.forget(volume_id, state);
    }

    async fn refused(&self, request: &VolumeRequest, error: &SourceError) {
        self.0.refused(request, error.reason, &error.message).await;
    }
}

fn check_names(names: &[&str]) -> Result<(), String> {
    let empty = |name: &&str| file(name, None, Secret::default());
    let files: Vec<File> = names.iter().map(empty).collect::<Result<_, _>>()?;
    Content::new(files)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn content(files: Vec<envlatch_bundle::File>) -> Result<Content, String> {
    let files = files
        .into_iter()
        .map(|given| file(&given.name, given.mode, given.bytes));
    Content::new(files.collect::<Result<_, _>>()?).map_err(|error| error.to_string())
}

fn file(name: &str, mode: Option<u32>, bytes: Secret) -> Result<File, String> {
    let mode = mode.map(|bits| {
        Mode::try_from(i64::from(bits)).map_err(|error| format!("the mode of {name:?} {error}"))
    });
    Ok(File {
        path: MountPath::try_from(name).map_err(|error| format!("the name {name:?} {error}"))?,
        mode: mode.transpose()?,
        bytes,
    })
}

fn error(problem: Problem) -> SourceError {
    let code = match problem.code {
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::Unavailable => tonic::Code::Unavailable,
    };
    SourceError {
        code,
        reason: problem.reason,
        message: problem.message,
    }
}

// === impl Figures ===

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Counters {
            requests,
            coalesced,
            failures,
            renewals,
            revocations,
            stale,
            calls: _,
        } = self.0.counters();
        let figures: [(&str, &str, &AtomicU64); 6] = [
            ("server_requests", "Requests sent to servers", requests),
            (
                "server_requests_coalesced",
                "Reads answered by what another volume had asked for",
                coalesced,
            ),
            ("server_requests_failed", "Requests that failed", failures),
            ("renewals", "Renewals of tokens and leases", renewals),
            ("revocations", "Tokens that were revoked", revocations),
            (
                "refreshes_failed",
                "Refreshes that failed, so that older files stayed",
                stale,
            ),
        ];
        for (name, help, figure) in figures {
            let counter = ConstCounter::new(figure.load(Ordering::Relaxed));
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        self.encode_staleness(&mut encoder)
    }
}

impl Figures {
    fn encode_staleness(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Staleness {
            oldest,
            failing,
            oldest_failing,
        } = self.0.staleness();
        let failing = u32::try_from(failing).unwrap_or(u32::MAX);
        for (name, help, unit, value) in [
            (
                "secret_age",
                "How long ago the server confirmed the files that it confirmed longest ago",
                Some(&Unit::Seconds),
                oldest.as_secs_f64(),
            ),
            (
                "stale_volumes",
                "Volumes whose latest refresh failed",
                None,
                failing.into(),
            ),
            (
                "stale",
                "How long ago the server confirmed the oldest files of these volumes",
                Some(&Unit::Seconds),
                oldest_failing.as_secs_f64(),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

// === impl Journal ===

impl Memory for Journal {
    fn write(&self, key: &str, record: &Secret) {
        if let Err(errno) = Self::write(self, Kind::Source, key, record) {
            tracing::warn!("a token lives until it expires if this process ends now: {errno}");
        }
    }

    fn remove(&self, key: &str) {
        // It is done again, for nothing, by the next process.
        if let Err(errno) = Self::remove(self, Kind::Source, key) {
            tracing::debug!("a record cannot be removed: {errno}");
        }
    }

    fn all(&self) -> Vec<Secret> {
        Self::all(self, Kind::Source).unwrap_or_else(|errno| {
            tracing::warn!("cannot read which tokens are to be revoked: {errno}");
            Vec::new()
        })
    }
}
