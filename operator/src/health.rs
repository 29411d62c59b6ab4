//! HTTP for probes and monitoring: `/healthz` (the process answers), `/readyz` (it leads and knows every bundle, or it waits to
//! lead), `/metrics`.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is served, set up while the operator starts.
#[derive(Debug)]
pub(crate) struct Health {
    registry: Mutex<Registry>,
    stage: Mutex<Stage>,
}

/// How far the operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Another replica leads
    Waiting,
    /// It leads and reads what there is
    Listing,
    /// It works
    Working,
}

// === impl Health ===

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            registry: Mutex::new(Registry::with_prefix("envlatch_operator")),
            stage: Mutex::new(Stage::Waiting),
        }
    }

    pub(crate) fn set(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Registers metrics.
    pub(crate) fn with_registry<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves for good.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let routes = axum::Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(listener, routes).await
    }
}

async fn ready(State(health): State<Arc<Health>>) -> impl IntoResponse {
    match *health.stage.lock().unwrap_or_else(PoisonError::into_inner) {
        Stage::Waiting => (StatusCode::OK, "ok: another replica leads\n"),
        Stage::Working => (StatusCode::OK, "ok\n"),
        Stage::Listing => (
            StatusCode::SERVICE_UNAVAILABLE,
            "bundles and stores are not listed yet\n",
        ),
    }
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let mut text = String::new();
    let registry = health
        .registry
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match encode(&mut text, &registry) {
        Ok(()) => Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
