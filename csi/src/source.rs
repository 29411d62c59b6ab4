//! Where a volume's files come from: the seam between mounting and fetching.
//!
//! The node half knows paths, mounts, sizes and kubelet's rules, and nothing of servers or Kubernetes objects. It hands a
//! [`VolumeRequest`] to the [`Source`] and gets the complete set of files, or the word that nothing changed. What the
//! source has to remember for a volume it gives along as opaque bytes, which are journalled on memory that survives this
//! process, and which it gets back at the next call.

use std::fmt;
use std::time::Duration;

use envlatch_secret::Secret;
use tonic::Code;

use crate::content::Content;

pub use envlatch_bundle::{Mounted, Pod, Token, VolumeRequest};

/// What the files of a volume are made from.
pub trait Source: Send + Sync + 'static {
    /// The files of a volume that is to be mounted (`mounted` is `None`), or a refresh of one that is.
    ///
    /// A refresh that is not due, or that found nothing new, answers [`Fetched::Unchanged`] without a call to the
    /// server; only when the volume is not [intact](Mounted::intact) it must answer with content.
    ///
    /// The future may be dropped at any await, when the pod goes away meanwhile; [`forget`](Source::forget) is called
    /// then, so what was made until there must be known to it.
    ///
    /// # Errors
    /// The first mount fails with this error; a refresh leaves the last good files, and kubelet gets OK. Events are
    /// the source's to post.
    fn fetch(
        &self,
        request: &VolumeRequest,
        mounted: Option<&Mounted>,
    ) -> impl Future<Output = Result<Fetched, SourceError>> + Send;

    /// Waits until a volume that is mounted is due, and names it once; it is fetched then, as if kubelet had called.
    fn due(&self) -> impl Future<Output = String> + Send;

    /// A volume that an earlier process mounted: what was issued for it is to be kept alive, although kubelet has not called
    /// yet. `state` is what was journalled for it last.
    fn resume(&self, volume_id: &str, state: &Secret);

    /// The volume is unmounted, or was never mounted: revoke what was made for it. `state` is what was journalled for
    /// it last, also by an earlier process. Must return soon; waiting for a server is done elsewhere.
    fn forget(&self, volume_id: &str, state: Option<&Secret>) -> impl Future<Output = ()> + Send;

    /// The process ends: what can be done within the time is not left to the next one.
    fn flush(&self, within: Duration) -> impl Future<Output = ()> + Send;

    /// A refresh could not be begun (no journal), or was fetched and could not be written (no space, over budget): the old
    /// files stay. Tell the user.
    fn refused(
        &self,
        request: &VolumeRequest,
        error: &SourceError,
    ) -> impl Future<Output = ()> + Send;
}

/// The answer of a source.
#[derive(Debug)]
pub enum Fetched {
    /// Nothing is due, or nothing changed.
    Unchanged,
    /// The files, complete.
    Content {
        /// All files of the volume.
        content: Content,
        /// What to remember for the volume, at most 64 KiB.
        state: Secret,
    },
}

/// Why there are no files. Its `Display` is the message of the gRPC status, and so what the user reads in the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// The gRPC code; kubelet gives up at once on some (`docs/csi.md`).
    pub code: Code,
    /// One word that tools can match, such as `VaultPermissionDenied`.
    pub reason: &'static str,
    /// What failed with what, and the remedy; never a value.
    pub message: String,
}

// === impl SourceError ===

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for SourceError {}
