//! How far the operator is, for `/readyz`, and the figures for `/metrics`.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::registry::Registry;

/// What is served, set up while the operator starts.
#[derive(Debug)]
pub(crate) struct Health {
    registry: Arc<Mutex<Registry>>,
    stage: Mutex<Stage>,
}

/// How far the operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Other replicas have all of the work
    Waiting,
    /// It has work and reads what there is
    Listing,
    /// It works
    Working,
}

// === impl Health ===

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            registry: Arc::new(Mutex::new(Registry::with_prefix("envlatch_operator"))),
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

    /// What `/metrics` shows.
    pub(crate) fn registry(&self) -> Arc<Mutex<Registry>> {
        Arc::clone(&self.registry)
    }

    /// Ready is also who waits for work.
    ///
    /// # Errors
    /// What is not done yet.
    pub(crate) fn ready(&self) -> Result<String, String> {
        match *self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Waiting => Ok("ok: other replicas have all of the work".to_owned()),
            Stage::Working => Ok("ok".to_owned()),
            Stage::Listing => Err("bundles and stores are not listed yet".to_owned()),
        }
    }
}
