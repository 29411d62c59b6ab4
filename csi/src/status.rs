//! From what went wrong to the gRPC code that makes kubelet do the right thing.
//!
//! Kubelet keeps a volume as "uncertain" after CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE, RESOURCE_EXHAUSTED and ABORTED:
//! it will call again, and unpublish in the end. After any other code it forgets a volume that is not mounted and may
//! never unpublish it (kubernetes, pkg/volume/csi/csi_mounter.go, `IsOperationFinishedError`), so then nothing may be
//! left behind.

use rustix::io::Errno;
use tonic::{Code, Status};

use crate::budget::Exceeded;
use crate::mounter::{Failure, Size, Step};
use crate::source::SourceError;

/// Whether kubelet may forget the volume after this code.
pub(crate) fn is_final(code: Code) -> bool {
    !matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Unavailable
            | Code::ResourceExhausted
            | Code::Aborted
    )
}

/// The code for what the kernel said.
fn code(errno: Errno) -> Code {
    match errno {
        Errno::NOSPC | Errno::NOMEM | Errno::DQUOT | Errno::MFILE | Errno::NFILE | Errno::IO => {
            Code::ResourceExhausted
        }
        // Somebody is at the volume right now, or kubelet removed its directory.
        Errno::BUSY | Errno::AGAIN | Errno::NOENT => Code::Aborted,
        Errno::PIPE => Code::Unavailable,
        _ => Code::Internal,
    }
}

impl From<Failure> for SourceError {
    fn from(failure: Failure) -> Self {
        // The path that kubelet sent, which was well formed, leads elsewhere.
        let astray = matches!(
            (failure.step, failure.errno),
            (
                Step::OpenParent | Step::Inspect | Step::Unmount,
                Errno::LOOP | Errno::NOTDIR | Errno::XDEV
            )
        );
        let remedy = match (failure.step, failure.errno) {
            _ if astray => {
                "; target_path leads through a link, a file or a mount where kubelet makes a directory; remove that"
            }
            (Step::OpenParent, Errno::NOENT) => {
                "; the pod is gone, or csi.kubeletDir (--kubelet-dir) is wrong"
            }
            (Step::MakeFileSystem | Step::Attach, Errno::PERM) => {
                "; the plugin's container must be privileged"
            }
            (Step::RemoveMountPoint, Errno::NOTEMPTY) => {
                "; something was written into it while nothing was mounted; remove that"
            }
            _ => "",
        };
        Self {
            code: if astray {
                Code::InvalidArgument
            } else {
                code(failure.errno)
            },
            reason: "MountFailed",
            message: format!("{failure}{remedy}"),
        }
    }
}

impl From<Exceeded> for SourceError {
    fn from(exceeded: Exceeded) -> Self {
        Self {
            code: Code::ResourceExhausted,
            reason: "BudgetExceeded",
            message: format!("the volume {exceeded}"),
        }
    }
}

impl From<SourceError> for Status {
    fn from(error: SourceError) -> Self {
        Self::new(error.code, error.to_string())
    }
}

/// Files could not be written into a volume of this size.
pub(crate) fn not_written(errno: Errno, size: Size) -> SourceError {
    SourceError {
        code: match code(errno) {
            Code::Internal => Code::Aborted,
            other => other,
        },
        reason: "WriteFailed",
        message: format!(
            "cannot write the files into a volume of {} bytes and {} inodes: {}; is something else filling it?",
            size.bytes,
            size.inodes,
            std::io::Error::from(errno)
        ),
    }
}

/// The journal refused.
pub(crate) fn not_journalled(errno: Errno) -> SourceError {
    SourceError {
        code: Code::ResourceExhausted,
        reason: "JournalFailed",
        message: format!(
            "cannot remember the volume: {}; raise csi.limits.stateSize (--state-size) if it is full",
            std::io::Error::from(errno)
        ),
    }
}
