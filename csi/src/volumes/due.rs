//! Refreshes by the plugin's own clock: a credential may end before kubelet calls again, and a bundle may say a shorter
//! interval. What kubelet asked for last is remembered for that, with the pod's token, in this process alone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tonic::Status;

use super::{Volumes, Wanted};
use crate::mounter::Found;
use crate::source::Source;

/// What kubelet asked for last, for each volume that is mounted.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<HashMap<String, Wanted>>);

// === impl Remembered ===

impl Remembered {
    pub(super) fn set(&self, wanted: Wanted) {
        let volume_id = wanted.request.volume_id.clone();
        self.guard().insert(volume_id, wanted);
    }

    pub(super) fn remove(&self, volume_id: &str) {
        self.guard().remove(volume_id);
    }

    fn get(&self, volume_id: &str) -> Option<Wanted> {
        self.guard().get(volume_id).cloned()
    }

    fn guard(&self) -> MutexGuard<'_, HashMap<String, Wanted>> {
        // Entries are added and removed whole, so a panic elsewhere cannot have broken the map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> Volumes<S> {
    /// Refreshes volumes when the source says that they are due, for good.
    pub(crate) async fn keep_fresh(self: Arc<Self>) -> Infallible {
        loop {
            let volume_id = self.source.due().await;
            if let Some(wanted) = self.remembered.get(&volume_id) {
                tokio::spawn(self.clone().refresh_due(wanted));
            }
        }
    }

    /// A call of kubelet's joins it, as it joins another call.
    async fn refresh_due(self: Arc<Self>, wanted: Wanted) {
        let (volume_id, arguments) = (wanted.request.volume_id.clone(), wanted.arguments.clone());
        let volumes = self.clone();
        let work = move |interrupt: Arc<Notify>| async move {
            let _lock = volumes.tasks.lock(&wanted.request.volume_id).await;
            match volumes.look(&wanted.arguments.target).await? {
                Found::Ours(root) => volumes.refresh(&wanted, root, &interrupt).await,
                // It is kubelet's to say that something is mounted; whoever joined this has to ask again.
                Found::Foreign(_) | Found::Absent => Err(Status::aborted(
                    "NotMounted: the volume was refreshed, and is not mounted any more; call again",
                )),
            }
        };
        if let Err(status) = self.tasks.publish(&volume_id, &arguments, work).await {
            tracing::debug!("{}: {}", arguments.target, status.message());
        }
    }
}
