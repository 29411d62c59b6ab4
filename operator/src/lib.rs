//! The sync operator: keeps Kubernetes Secrets in step with a Vault-compatible server.
//!
//! ```text
//! watch (bundles, stores, metadata of our Secrets) → queue → turn: grants → token → fetch → content → journal → write → status
//! ```
//!
//! Each bundle is worked on by one replica at a time, the holder of its shard's Lease. What it remembers can be lost: the status of each bundle and the versions of
//! the Secrets tell the next replica what is in place, without a request for each.

mod balance;
mod classes;
mod content;
mod gate;
mod hash;
mod health;
mod identity;
mod item;
mod key;
mod lease;
mod metrics;
mod observed;
mod operator;
mod ownership;
mod queue;
mod restart;
mod schedule;
mod seal;
pub mod settings;
mod shards;
mod status;
mod tracked;
mod turn;
mod uninstall;
mod watch;
mod world;
mod write;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use envlatch_bundle::Problem;
use envlatch_service::kubernetes::KubernetesError;
use envlatch_service::monitoring;
use envlatch_vault::Secret;
use kube::Client;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::health::{Health, Stage};
use crate::metrics::{Metrics, Present};
use crate::operator::Operator;
use crate::settings::Settings;
use crate::shards::Shards;
use crate::watch::Scope;

/// How long the API server has to take the Leases back.
const RELEASE: Duration = Duration::from_secs(2);
/// How long the API server has for an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// How soon the key is asked for again.
const AGAIN: Duration = Duration::from_secs(5);

/// Why the operator ended.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// The runtime or signals
    #[error("cannot start")]
    Start(#[source] io::Error),
    /// The address is in use or not ours
    #[error("cannot listen on {0}; set --metrics-address")]
    Listen(std::net::SocketAddr, #[source] io::Error),
    /// No cluster to talk to
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// Somebody damaged the key
    #[error("{0}")]
    Key(Problem),
    /// The rights are lacking, or the API server is away
    #[error("cannot remove the finalizers of bundles")]
    Finalizers(#[source] kube::Error),
    /// Another replica works now, or the API server was away for too long
    #[error("a Lease was lost; another replica takes over")]
    Lost,
}

/// Works until SIGTERM or until a Lease is lost.
///
/// # Errors
/// Why it could not start, or had to end.
pub fn run(settings: &Settings) -> Result<(), OperatorError> {
    settings.log.start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(OperatorError::Start)?;
    let outcome = runtime.block_on(serve(settings));
    runtime.shutdown_background();
    outcome
}

async fn serve(settings: &Settings) -> Result<(), OperatorError> {
    if settings.remove_finalizers {
        return remove_finalizers(settings).await;
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(OperatorError::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(OperatorError::Start)?;
    let address = settings.metrics_address;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| OperatorError::Listen(address, error))?;
    let health = Arc::new(Health::new());
    let stage = Arc::clone(&health);
    let ready = move || std::future::ready(stage.ready());
    tokio::spawn(monitoring::serve(listener, health.registry(), ready));
    let watching = settings.kubernetes.client(None)?;
    let client = settings.kubernetes.client(Some(ANSWER))?;
    let shards = Arc::new(Shards::new(
        client.clone(),
        &settings.own_namespace,
        &settings.instance,
        settings.lease_duration,
        settings.shards,
    ));
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = shards.keep() => Err(OperatorError::Lost),
        outcome = operate(settings, client, watching, &shards, &health) => outcome,
    };
    drop(timeout(RELEASE, shards.release()).await);
    outcome
}

async fn remove_finalizers(settings: &Settings) -> Result<(), OperatorError> {
    let client = settings.kubernetes.client(Some(ANSWER))?;
    let removed = uninstall::remove_finalizers(&client, &scope(settings)).await;
    removed.map_err(OperatorError::Finalizers)
}

fn scope(settings: &Settings) -> Scope {
    if settings.all_namespaces {
        Scope::All
    } else {
        Scope::Listed(settings.namespaces.clone())
    }
}

/// Never returns once everything is started.
async fn operate(
    settings: &Settings,
    client: Client,
    watching: Client,
    shards: &Arc<Shards>,
    health: &Health,
) -> Result<(), OperatorError> {
    shards.any().await;
    health.set(Stage::Listing);
    let key = load_key(&client, &settings.own_namespace).await?;
    let metrics = health.with_registry(Metrics::register);
    let operator = Arc::new(Operator::new(
        client,
        &key,
        Arc::clone(shards),
        metrics,
        settings,
    ));
    let present = Present::new(Arc::clone(&operator));
    health.with_registry(|registry| registry.register_collector(Box::new(present)));
    let mut first = shards.taken();
    watch::start(
        &operator,
        &watching,
        &scope(settings),
        settings.secret_objects,
    )
    .await;
    operator.work(settings.workers);
    health.set(Stage::Working);
    share_out(&operator, &mut first).await
}

/// Begins and ends the work on shards as their Leases come and go. On those that were held before the first list nobody else worked
/// after it, until they are given away.
async fn share_out(operator: &Operator, first: &mut Vec<u16>) -> Result<(), OperatorError> {
    loop {
        for shard in operator.shards.taken() {
            operator.shards.work(shard, !first.contains(&shard));
            operator.begin(shard);
        }
        for shard in operator.shards.leaving() {
            operator.leave(shard).await;
            first.retain(|other| *other != shard);
            operator.shards.left(shard);
        }
        operator.shards.changed().await;
    }
}

async fn load_key(client: &Client, namespace: &str) -> Result<Secret, OperatorError> {
    loop {
        match key::load(client.clone(), namespace).await {
            Ok(key) => return Ok(key),
            Err(problem) if problem.is_transient() => tracing::warn!("{problem}"),
            Err(problem) => return Err(OperatorError::Key(problem)),
        }
        sleep(AGAIN).await;
    }
}
