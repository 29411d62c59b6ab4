//! Unpublishing: first the volume goes, whoever mounted it and however often, then what was made for it.

use std::sync::Arc;

use tonic::Status;

use super::Volumes;
use crate::record::Record;
use crate::source::{Source, SourceError};
use crate::target::Target;

impl<S: Source> Volumes<S> {
    /// Unmounts the volume, and revokes what was made for it. A volume that is not there is no error.
    pub(crate) async fn unpublish(
        self: &Arc<Self>,
        volume_id: &str,
        target: &Target,
    ) -> Result<(), Status> {
        self.tasks.interrupt(volume_id);
        let (volumes, volume_id, target) = (self.clone(), volume_id.to_owned(), target.clone());
        // A task of its own: a cancelled call must not leave it half done.
        let work = tokio::spawn(async move { volumes.unpublish_now(&volume_id, &target).await });
        work.await.map_err(|error| {
            Status::internal(format!("Bug: unpublish ended unexpectedly: {error}"))
        })?
    }

    async fn unpublish_now(&self, volume_id: &str, target: &Target) -> Result<(), Status> {
        let _lock = self.tasks.lock(volume_id).await;
        self.remembered.remove(volume_id);
        self.unmount(target).await?;
        self.budget.release(target);
        self.forget_journalled(volume_id).await?;
        Ok(())
    }

    /// Revokes and forgets what the journal knows of a volume that is not mounted, or what only the source knows.
    pub(super) async fn forget_journalled(&self, volume_id: &str) -> Result<(), SourceError> {
        let record = self.record(volume_id)?;
        self.forget(volume_id, record.as_ref().and_then(Record::last_state))
            .await
    }
}
