//! Volumes: published, refreshed, unpublished. What is mounted is asked of the mounter every time, and what was written
//! is read from the journal; nothing of it is remembered here, so there is nothing to get out of step.

mod due;
mod publish;
mod refresh;
mod unpublish;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use envlatch_secret::Secret;
use tokio::sync::Notify;
use tonic::{Code, Status};

use crate::beneath;
use crate::budget::Budget;
use crate::content::Content;
use crate::files::{self, Written};
use crate::journal::{Journal, Kind};
use crate::layout::Generation;
use crate::metrics::Metrics;
use crate::mounter::{Found, Mounter, Size};
use crate::mountinfo::MountInfo;
use crate::record::{Arguments, Record};
use crate::source::{Source, SourceError, VolumeRequest};
use crate::status::{not_journalled, not_written};
use crate::target::{MOUNT, Target};
use crate::tasks::Tasks;
use due::Remembered;

/// What bounds a volume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of the files of one volume.
    pub(crate) volume_bytes: u64,
    /// Files of one volume.
    pub(crate) volume_files: usize,
    /// How long a first publish may wait for its files.
    pub(crate) publish_timeout: Duration,
}

/// A publish as kubelet asked for it.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) request: VolumeRequest,
    pub(crate) arguments: Arguments,
}

/// All volumes of this node.
pub(crate) struct Volumes<S> {
    pub(crate) source: S,
    pub(crate) mounter: Mounter,
    pub(crate) journal: Journal,
    pub(crate) budget: Budget,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    tasks: Arc<Tasks>,
    remembered: Remembered,
}

// === impl Volumes ===

impl<S: Source> Volumes<S> {
    pub(crate) fn new(
        source: S,
        mounter: Mounter,
        journal: Journal,
        budget: Budget,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            source,
            mounter,
            journal,
            budget,
            limits,
            metrics,
            tasks: Arc::default(),
            remembered: Remembered::default(),
        }
    }

    /// Mounts the volume, or refreshes it when it is mounted.
    pub(crate) async fn publish(self: &Arc<Self>, wanted: Wanted) -> Result<(), Status> {
        let volume_id = wanted.request.volume_id.clone();
        let arguments = wanted.arguments.clone();
        let volumes = self.clone();
        let work = move |interrupt| async move { volumes.publish_now(wanted, interrupt).await };
        self.tasks.publish(&volume_id, &arguments, work).await
    }

    async fn publish_now(
        self: Arc<Self>,
        wanted: Wanted,
        interrupt: Arc<Notify>,
    ) -> Result<(), Status> {
        let _lock = self.tasks.lock(&wanted.request.volume_id).await;
        match self.look(&wanted.arguments.target).await? {
            // Left as the driver before us mounted it; but one that it never filled is not a volume.
            Found::Foreign(root) if !is_empty(&root) => {
                self.metrics.foreign.inc();
                return Ok(());
            }
            Found::Foreign(_) => {
                self.unmount(&wanted.arguments.target).await?;
                self.first(&wanted, &interrupt).await?;
            }
            Found::Absent => self.first(&wanted, &interrupt).await?,
            Found::Ours(root) => self.refresh(&wanted, root, &interrupt).await?,
        }
        self.remembered.set(wanted);
        Ok(())
    }

    /// Statistics of a mounted volume: capacity and use, in bytes and inodes. `None` when it is not ours.
    pub(crate) async fn statistics(
        &self,
        volume_id: &str,
        target: &Target,
    ) -> Result<Option<rustix::fs::StatVfs>, Status> {
        let record = self.record(volume_id)?;
        if record.is_none_or(|record| record.arguments.target != *target) {
            return Ok(None);
        }
        match self.look(target).await? {
            Found::Ours(root) | Found::Foreign(root) => rustix::fs::fstatvfs(root)
                .map(Some)
                .map_err(|errno| Status::internal(format!("cannot read statistics: {errno}"))),
            Found::Absent => Ok(None),
        }
    }

    /// Counts what an earlier process mounted, and goes on with what was issued for it.
    pub(crate) fn recover(&self, table: &MountInfo, pods: &Path) -> std::io::Result<usize> {
        let records: Vec<Record> = self
            .journal
            .all(Kind::Volume)?
            .iter()
            .filter_map(Record::decode)
            .collect();
        let mut found = 0;
        for mount in table.read()?.iter().filter(|mount| mount.is_ours()) {
            let kubelet = pods.parent().unwrap_or(pods);
            let Ok(target) = Target::parse(&mount.point, kubelet) else {
                continue;
            };
            debug_assert!(mount.point.ends_with(MOUNT));
            let record = records
                .iter()
                .find(|record| record.arguments.target == target);
            let namespace = record.map(|record| record.arguments.pod.namespace.as_str());
            self.budget
                .restore(&target, namespace, mount.size().unwrap_or(0));
            // Of one that was killed while it was refreshed, kubelet's call finds out what is in force.
            if let Some(record) = record
                && let (Some(files), None) = (&record.current, &record.next)
            {
                self.source.resume(&record.volume_id, &files.state);
            }
            found += 1;
        }
        Ok(found)
    }

    async fn look(&self, target: &Target) -> Result<Found, SourceError> {
        let (mounter, target) = (self.mounter.clone(), target.clone());
        Ok(blocking(move || mounter.look(&target)).await??)
    }

    async fn unmount(&self, target: &Target) -> Result<(), SourceError> {
        let (mounter, target) = (self.mounter.clone(), target.clone());
        Ok(blocking(move || mounter.unmount(&target)).await??)
    }

    /// What is journalled for the volume. A record that cannot be read counts as lost.
    fn record(&self, volume_id: &str) -> Result<Option<Record>, SourceError> {
        let record = self
            .journal
            .read(Kind::Volume, volume_id)
            .map_err(not_journalled)?;
        Ok(record.as_ref().and_then(Record::decode))
    }

    fn remember(&self, record: &Record) -> Result<(), SourceError> {
        self.journal
            .write(Kind::Volume, &record.volume_id, &record.encode())
            .map_err(not_journalled)
    }

    /// Revokes and forgets what was made for a volume that is not mounted.
    async fn forget(&self, volume_id: &str, state: Option<&Secret>) -> Result<(), SourceError> {
        self.source.forget(volume_id, state).await;
        self.journal
            .remove(Kind::Volume, volume_id)
            .map_err(not_journalled)
    }

    /// The files of `content`, unless they are too many.
    fn plan(&self, content: &Content, arguments: &Arguments) -> Result<Vec<Written>, SourceError> {
        let plan = files::plan(content, arguments.fs_group.is_some());
        let bytes: u64 = plan.iter().map(|file| file.length).sum();
        let (most_files, most_bytes) = (self.limits.volume_files, self.limits.volume_bytes);
        if plan.len() > most_files || bytes > most_bytes {
            return Err(SourceError {
                code: Code::ResourceExhausted,
                reason: "VolumeTooLarge",
                message: format!(
                    "the volume has {} files of {bytes} bytes together; at most {most_files} files (csi.limits.volumeFiles, --volume-files) \
                     of {most_bytes} bytes (csi.limits.volumeSize, --volume-size) are mounted",
                    plan.len()
                ),
            });
        }
        Ok(plan)
    }
}

/// Fills `directory` and puts it in force; the mounter forgets it when that fails.
fn fill(
    mounter: &Mounter,
    place: &Place,
    directory: &OwnedFd,
    content: &Content,
    plan: &[Written],
) -> Result<(), SourceError> {
    let written = files::write_all(directory, content, plan);
    if let Err(errno) = written {
        // What it does not remove now, the next refresh does.
        let _ = mounter.abort(&place.target, place.current, place.next);
        return Err(not_written(errno, place.size));
    }
    Ok(mounter.commit(&place.target, place.next)?)
}

/// Where files are put.
struct Place {
    target: Target,
    current: Option<Generation>,
    next: Generation,
    gid: u32,
    size: Size,
}

/// Runs what blocks for a moment beside the tasks that wait for the network.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| SourceError {
            code: Code::Internal,
            reason: "Bug",
            message: format!("mounting ended unexpectedly ({error}); see the plugin's log"),
        })
}

/// Whether a foreign mount has nothing in it. One that cannot be read has.
fn is_empty(root: &OwnedFd) -> bool {
    beneath::entries(root).is_ok_and(|entries| entries.is_empty())
}
