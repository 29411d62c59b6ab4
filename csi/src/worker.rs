//! The worker: the process that talks to kubelet and to servers. It starts with everything it needs in hand, and has no
//! rights of its own.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use envlatch_service::monitoring;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::budget::Budget;
use crate::identity::Readiness;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::mounter::Mounter;
use crate::mountinfo::MountInfo;
use crate::server;
use crate::settings::Settings;
use crate::source::Source;
use crate::start::{Listeners, StartError};
use crate::volumes::{Limits, Volumes};

/// How long the source may take to finish what it can when the calls have ended.
const FLUSH: Duration = Duration::from_secs(5);

/// What a source is made with.
#[derive(Debug)]
pub struct Context<'a> {
    /// Memory that survives the process.
    pub journal: Journal,
    /// Where it adds its figures; their names get the prefix `envlatch_csi_`.
    pub registry: &'a mut Registry,
    /// Name of this node.
    pub node_name: String,
}

/// What the worker took along.
pub(crate) struct Worker {
    pub(crate) settings: Settings,
    pub(crate) mounter: Mounter,
    pub(crate) journal: Journal,
    pub(crate) drivers: Vec<Listeners>,
    pub(crate) table: MountInfo,
    pub(crate) pods_path: PathBuf,
    /// Closed when the mounter is gone.
    pub(crate) lifeline: StdStream,
}

// === impl Worker ===

impl Worker {
    /// Serves until SIGTERM or SIGINT, or until kubelet refuses the plugin or the mounter is gone.
    pub(crate) async fn run<S: Source>(
        self,
        build: impl FnOnce(Context<'_>) -> Result<S, String>,
    ) -> Result<(), StartError> {
        let mut registry = Registry::with_prefix("envlatch_csi");
        let metrics = Arc::new(Metrics::register(&mut registry));
        let source = build(Context {
            journal: self.journal.clone(),
            registry: &mut registry,
            node_name: self.settings.node_name.clone(),
        })
        .map_err(StartError::Source)?;
        let settings = &self.settings;
        let limits = Limits {
            volume_bytes: settings.volume_size,
            volume_files: settings.volume_files,
            publish_timeout: settings.publish_timeout,
        };
        let readiness = Readiness::new(self.mounter.clone(), self.drivers.len());
        let budget = Budget::new(settings.node_budget, settings.namespace_budget);
        let volumes = Arc::new(Volumes::new(
            source,
            self.mounter,
            self.journal,
            budget,
            limits,
            metrics,
        ));
        let mounted = volumes
            .recover(&self.table, &self.pods_path)
            .map_err(worker("find out what is mounted"))?;
        let (stop, stopped) = watch::channel(false);
        let health = TcpListener::bind(settings.metrics_address)
            .await
            .map_err(worker("listen on --metrics-address"))?;
        let checked = readiness.clone();
        let ready = move || {
            let checked = checked.clone();
            async move { checked.check().await.map(|()| "ok".to_owned()) }
        };
        tracing::info!(volumes = mounted, drivers = ?settings.driver_names, "serving");
        tokio::select! {
            served = server::serve(self.drivers, settings, &volumes, &readiness, &stopped) => served.map_err(worker("serve"))?,
            served = monitoring::serve(health, Arc::new(Mutex::new(registry)), ready) => served.map_err(worker("serve HTTP"))?,
            never = volumes.clone().keep_fresh() => match never {},
            () = ended(self.lifeline) => return Err(StartError::MounterEnded),
            drained = drain(settings, &readiness, &stop) => drained.map_err(worker("handle signals"))?,
        }
        volumes.source.flush(FLUSH).await;
        readiness.conclusion()
    }
}

/// Waits for a signal or for kubelet's refusal, then lets the calls that run end. A mount that waits for its server is left to
/// kubelet's next call; it is safe to end at any moment.
async fn drain(
    settings: &Settings,
    readiness: &Readiness,
    stop: &watch::Sender<bool>,
) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = readiness.refused() => {}
    }
    tracing::info!("ending");
    readiness.drain();
    // The server, which runs beside this, ends by itself when no call is left.
    stop.send_replace(true);
    tokio::time::sleep(settings.drain_timeout).await;
    tracing::warn!("calls still run after --drain-timeout; kubelet will repeat them");
    Ok(())
}

/// Waits until the other process is gone.
async fn ended(lifeline: StdStream) {
    let wait = async {
        lifeline.set_nonblocking(true)?;
        let lifeline = UnixStream::from_std(lifeline)?;
        lifeline.readable().await
    };
    if let Err(error) = wait.await {
        tracing::error!("cannot watch the mounter process: {error}");
    }
}

fn worker(doing: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::Worker(doing, error)
}
