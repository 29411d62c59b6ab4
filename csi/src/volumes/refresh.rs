//! A publish of what is mounted: contents only. Nothing is mounted, moved or unmounted, because containers would not see
//! it; and whatever fails, the files that were good stay, and kubelet hears OK: before Kubernetes 1.34 it removed the
//! directory of a volume whose republish failed.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use envlatch_secret::Secret;
use tokio::sync::Notify;
use tonic::{Code, Status};

use super::publish::interrupted;
use super::{Place, Volumes, Wanted, blocking, fill};
use crate::content::Content;
use crate::files::{self, Condition};
use crate::layout::Generation;
use crate::record::{Files, Record};
use crate::source::{Fetched, Mounted, Source, SourceError};

/// What a mounted volume turned out to be.
struct Examined {
    /// What is known of it.
    record: Option<Record>,
    mounted: Mounted,
}

impl<S: Source> Volumes<S> {
    pub(super) async fn refresh(
        self: &Arc<Self>,
        wanted: &Wanted,
        root: OwnedFd,
        interrupt: &Notify,
    ) -> Result<(), Status> {
        let begin = Instant::now();
        let renewed = match self.record(&wanted.request.volume_id) {
            Ok(Some(record)) if record.arguments != wanted.arguments => {
                return Err(Status::already_exists(
                    "VolumeChanged: the volume is mounted for other arguments; delete the pod to have it mounted anew",
                ));
            }
            Ok(record) => self.renew(wanted, record, root, interrupt).await,
            Err(error) => {
                self.source.refused(&wanted.request, &error).await;
                Err(error)
            }
        };
        let outcome = *renewed.as_ref().unwrap_or(&"failed");
        self.metrics.refreshed(outcome, begin.elapsed());
        if let Err(error) = renewed {
            tracing::warn!(
                pod = wanted.request.pod.name,
                namespace = wanted.request.pod.namespace,
                "the files of {} stay as they are: {error}",
                wanted.arguments.target
            );
        }
        Ok(())
    }

    /// What became of it, in one word.
    async fn renew(
        self: &Arc<Self>,
        wanted: &Wanted,
        record: Option<Record>,
        root: OwnedFd,
        interrupt: &Notify,
    ) -> Result<&'static str, SourceError> {
        let examined = match record {
            Some(record) => self.examine(record, root).await?,
            None => Examined::unknown(),
        };
        let fetched = tokio::select! {
            fetched = self.source.fetch(&wanted.request, Some(&examined.mounted)) => fetched?,
            () = interrupt.notified() => return Err(interrupted()),
        };
        match fetched {
            Fetched::Unchanged if examined.mounted.intact => Ok("unchanged"),
            Fetched::Unchanged => Err(SourceError {
                code: Code::Internal,
                reason: "Bug",
                message: "no files were given for a volume that has lost its own".to_owned(),
            }),
            Fetched::Content { content, state } => {
                let replaced = self.replace(wanted, examined, content, state).await;
                if let Err(error) = &replaced {
                    self.source.refused(&wanted.request, error).await;
                }
                replaced.map(|()| "changed")
            }
        }
    }

    /// Finds out which files are mounted, and whether they are those that were written.
    async fn examine(
        self: &Arc<Self>,
        mut record: Record,
        root: OwnedFd,
    ) -> Result<Examined, SourceError> {
        let volumes = self.clone();
        blocking(move || {
            let in_force = files::in_force(&root, &record.generations());
            let abandoned = record.settle(in_force);
            let intact = in_force.is_some() && volumes.heal(&record, &root);
            Examined {
                mounted: Mounted {
                    state: record.current.as_ref().map(|files| files.state.clone()),
                    intact,
                    abandoned,
                },
                record: Some(record),
            }
        })
        .await
    }

    /// Whether the files are intact, once links and debris are seen to.
    fn heal(&self, record: &Record, root: &OwnedFd) -> bool {
        let Some(current) = &record.current else {
            return false;
        };
        let (target, gid) = (&record.arguments.target, record.arguments.gid());
        match files::inspect(root, current.generation, &current.files, gid) {
            Condition::Intact => true,
            Condition::Changed => false,
            Condition::Unsettled => {
                if let Err(failure) = self.mounter.settle(target, current.generation, gid) {
                    tracing::warn!("{target}: {failure}");
                }
                files::inspect(root, current.generation, &current.files, gid) == Condition::Intact
            }
        }
    }

    async fn replace(
        self: &Arc<Self>,
        wanted: &Wanted,
        examined: Examined,
        content: Content,
        state: Secret,
    ) -> Result<(), SourceError> {
        let plan = self.plan(&content, &wanted.arguments)?;
        let mut record = Record {
            volume_id: wanted.request.volume_id.clone(),
            arguments: wanted.arguments.clone(),
            current: examined.record.and_then(|record| record.current),
            next: None,
        };
        if examined.mounted.intact
            && let Some(current) = &mut record.current
            && current.files == plan
        {
            current.state = state;
            return self.remember(&record);
        }
        let next = Files {
            generation: Generation::random(),
            files: plan,
            state,
        };
        let volumes = self.clone();
        blocking(move || volumes.rewrite(record, next, &content)).await?
    }

    /// A new generation and one rename. Space is reserved, and all of it journalled, before.
    fn rewrite(
        &self,
        mut record: Record,
        next: Files,
        content: &Content,
    ) -> Result<(), SourceError> {
        let (target, gid) = (record.arguments.target.clone(), record.arguments.gid());
        let namespace = record.arguments.pod.namespace.clone();
        let old = record.current.as_ref();
        let place = Place {
            current: old.map(|files| files.generation),
            next: next.generation,
            gid,
            size: files::size(old.map_or(&[], |files| &files.files), &next.files),
            target,
        };
        let before = self
            .budget
            .reserve(&place.target, &namespace, place.size.bytes)?;
        record.next = Some(next.clone());
        let written = self
            .remember(&record)
            .and_then(|()| self.write(&place, content, &next));
        if let Err(error) = written {
            // The record stays: if the mounter died, nobody knows yet whether the files took effect.
            self.budget.restore(&place.target, Some(&namespace), before);
            return Err(error);
        }
        record.current = record.next.take();
        self.remember(&record)
    }

    fn write(&self, place: &Place, content: &Content, next: &Files) -> Result<(), SourceError> {
        let directory = self.mounter.rewrite(
            &place.target,
            place.current,
            place.next,
            place.gid,
            place.size,
        )?;
        fill(&self.mounter, place, &directory, content, &next.files)
    }
}

// === impl Examined ===

impl Examined {
    /// The journal was lost: the files may be good, but nobody knows which they are to be.
    fn unknown() -> Self {
        Self {
            record: None,
            mounted: Mounted {
                state: None,
                intact: false,
                abandoned: None,
            },
        }
    }
}
