//! The first publish of a volume: everything is fetched and written before anything is mounted.

use std::sync::Arc;
use std::time::Instant;

use envlatch_secret::Secret;
use tokio::sync::Notify;
use tonic::{Code, Status};

use super::{Place, Volumes, Wanted, blocking, fill};
use crate::content::Content;
use crate::files::{self, Written};
use crate::layout::Generation;
use crate::mounter::Size;
use crate::record::{Files, Record};
use crate::source::{Fetched, Source, SourceError};
use crate::status::is_final;

impl<S: Source> Volumes<S> {
    pub(super) async fn first(
        self: &Arc<Self>,
        wanted: &Wanted,
        interrupt: &Notify,
    ) -> Result<(), Status> {
        let begin = Instant::now();
        let result = self.fetch_and_mount(wanted, interrupt).await;
        let code = result.as_ref().err().map_or(Code::Ok, |error| error.code);
        self.metrics.mounted(code, begin.elapsed());
        let Err(error) = result else { return Ok(()) };
        if is_final(error.code) {
            // Kubelet may never call again.
            self.unmount(&wanted.arguments.target).await?;
            self.forget_journalled(&wanted.request.volume_id).await?;
        }
        Err(error.into())
    }

    async fn fetch_and_mount(
        self: &Arc<Self>,
        wanted: &Wanted,
        interrupt: &Notify,
    ) -> Result<(), SourceError> {
        let volume_id = &wanted.request.volume_id;
        // Left by a publish that was killed before it mounted, or from before a reboot.
        if let Some(record) = self.record(volume_id)? {
            self.forget(volume_id, record.last_state()).await?;
        }
        let (content, state) = tokio::select! {
            fetched = self.first_fetch(wanted) => fetched?,
            () = interrupt.notified() => return Err(interrupted()),
        };
        let plan = self.plan(&content, &wanted.arguments)?;
        let size = files::size(&[], &plan);
        self.budget.reserve(
            &wanted.arguments.target,
            &wanted.arguments.pod.namespace,
            size.bytes,
        )?;
        let mounted = self.mount(wanted, content, plan, size, state).await;
        if mounted.is_err() {
            self.budget.release(&wanted.arguments.target);
        }
        mounted
    }

    async fn first_fetch(&self, wanted: &Wanted) -> Result<(Content, Secret), SourceError> {
        let limit = self.limits.publish_timeout;
        let fetched = tokio::time::timeout(limit, self.source.fetch(&wanted.request, None)).await;
        match fetched {
            Ok(Ok(Fetched::Content { content, state })) => Ok((content, state)),
            Ok(Ok(Fetched::Unchanged)) => Err(SourceError {
                code: Code::Internal,
                reason: "Bug",
                message: "a volume that was never mounted was reported as unchanged".to_owned(),
            }),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(SourceError {
                code: Code::Unavailable,
                reason: "FetchTimeout",
                message: format!(
                    "the secrets were not read within {}; kubelet tries again",
                    humantime::format_duration(limit)
                ),
            }),
        }
    }

    async fn mount(
        self: &Arc<Self>,
        wanted: &Wanted,
        content: Content,
        plan: Vec<Written>,
        size: Size,
        state: Secret,
    ) -> Result<(), SourceError> {
        let next = Generation::random();
        let record = Record {
            volume_id: wanted.request.volume_id.clone(),
            arguments: wanted.arguments.clone(),
            current: None,
            next: Some(Files {
                generation: next,
                files: plan,
                state,
            }),
        };
        let place = Place {
            target: wanted.arguments.target.clone(),
            current: None,
            next,
            gid: wanted.arguments.gid(),
            size,
        };
        let volumes = self.clone();
        blocking(move || volumes.mount_now(&place, &content, record)).await?
    }

    /// Journals before it mounts: a lease that nobody remembers could not be revoked.
    fn mount_now(
        &self,
        place: &Place,
        content: &Content,
        mut record: Record,
    ) -> Result<(), SourceError> {
        self.remember(&record)?;
        let directory = self
            .mounter
            .create(&place.target, place.next, place.gid, place.size)?;
        let plan = record.next.take();
        let files = plan.as_ref().map_or(&[][..], |plan| &plan.files);
        fill(&self.mounter, place, &directory, content, files)?;
        record.current = plan;
        // The volume is mounted; the record before this one says the same.
        if let Err(error) = self.remember(&record) {
            tracing::warn!("{}: {error}", place.target);
        }
        Ok(())
    }
}

/// The pod went away while its volume was being fetched.
pub(super) fn interrupted() -> SourceError {
    SourceError {
        code: Code::Aborted,
        reason: "Interrupted",
        message: "the volume was unpublished while its secrets were read".to_owned(),
    }
}
