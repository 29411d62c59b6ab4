//! Requests and replies: fixed sizes, one packet each, little-endian, on a socket pair that only two processes hold.

use std::fmt;

use rustix::io::Errno;

use super::Failure;
use super::tmpfs::Size;
use crate::layout::Generation;
use crate::target::{MAX_POD_UID, MAX_VOLUME, Target};

pub(super) const REQUEST: usize = 256;
pub(super) const REPLY: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Is there a mount, and whose? Gives its root directory.
    Look = 1,
    /// A new file system, attached nowhere, with a generation for the worker to fill.
    Create = 2,
    /// A new generation in what is mounted.
    Rewrite = 3,
    /// The generation is complete: put it in force.
    Commit = 4,
    /// Forget the generation.
    Abort = 5,
    /// Make links and debris what the generation in force asks for.
    Settle = 6,
    /// Remove every mount from the target, and the mount point.
    Unmount = 7,
    /// Show that mounting works, without attaching anything.
    Probe = 8,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) target: Target,
    /// The generation in force that is to be kept, by [`Operation::Rewrite`] and [`Operation::Settle`].
    pub(super) current: Option<Generation>,
    /// The new generation.
    pub(super) next: Option<Generation>,
    /// Group of the files.
    pub(super) gid: u32,
    pub(super) size: Size,
}

/// What was found or done; a descriptor may come along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Done,
    /// Nothing is mounted there.
    Absent,
    /// A file system of ours.
    Ours,
    /// Somebody else's.
    Foreign,
    Failed(Failure),
}

/// What the mounter was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Reading a request.
    Read = 1,
    /// Opening kubelet's directory of the volume.
    OpenParent,
    /// Looking at what is mounted.
    Inspect,
    /// Making the file system.
    MakeFileSystem,
    /// Changing its size.
    Resize,
    /// Making the directory of a generation.
    MakeGeneration,
    /// Giving the files their owner.
    SetOwner,
    /// Renaming `..data`.
    Swap,
    /// Making links and removing what is old.
    Settle,
    /// Changing the read-only flag.
    SetReadOnly,
    /// Making the mount point.
    MakeMountPoint,
    /// Attaching the file system.
    Attach,
    /// Unmounting.
    Unmount,
    /// Removing the mount point.
    RemoveMountPoint,
    /// Finding the generation that was asked for.
    FindGeneration,
    /// Asking the mounter at all.
    Ask,
}

const STEPS: [(Step, &str); 16] = [
    (Step::Read, "read the request"),
    (Step::OpenParent, "open kubelet's directory of the volume"),
    (Step::Inspect, "look at what is mounted"),
    (Step::MakeFileSystem, "make the file system"),
    (Step::Resize, "change the size of the file system"),
    (Step::MakeGeneration, "make the directory of the files"),
    (Step::SetOwner, "give the files their owner"),
    (Step::Swap, "put the new files in force"),
    (Step::Settle, "make links and remove old files"),
    (Step::SetReadOnly, "change the read-only flag of the mount"),
    (Step::MakeMountPoint, "make the mount point"),
    (Step::Attach, "attach the file system"),
    (Step::Unmount, "unmount"),
    (Step::RemoveMountPoint, "remove the mount point"),
    (
        Step::FindGeneration,
        "find the files that were being written",
    ),
    (Step::Ask, "reach the mounter process"),
];

const OPERATIONS: [Operation; 8] = [
    Operation::Look,
    Operation::Create,
    Operation::Rewrite,
    Operation::Commit,
    Operation::Abort,
    Operation::Settle,
    Operation::Unmount,
    Operation::Probe,
];

// === impl Request ===

impl Request {
    pub(super) fn encode(&self) -> [u8; REQUEST] {
        let mut packet = [0; REQUEST];
        let mut rest = &mut packet[..];
        let mut put = |bytes: &[u8]| {
            let (field, after) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            field.copy_from_slice(bytes);
            rest = after;
        };
        put(&[self.operation as u8]);
        for generation in [self.current, self.next] {
            put(&[u8::from(generation.is_some())]);
            put(&generation
                .map_or(0, |generation| generation.0)
                .to_le_bytes());
        }
        put(&self.gid.to_le_bytes());
        put(&self.size.bytes.to_le_bytes());
        put(&self.size.inodes.to_le_bytes());
        for (text, width) in [
            (self.target.pod_uid(), MAX_POD_UID),
            (self.target.volume(), MAX_VOLUME),
        ] {
            put(text.as_bytes());
            put(&[0; MAX_VOLUME][..width - text.len()]);
        }
        packet
    }

    /// `None` for what our own worker never sends.
    pub(super) fn decode(packet: &[u8]) -> Option<Self> {
        let packet: &[u8; REQUEST] = packet.try_into().ok()?;
        let mut fields = Fields(packet);
        let number = fields.take::<1>()?[0];
        Some(Self {
            operation: *OPERATIONS.iter().find(|known| **known as u8 == number)?,
            current: fields.generation()?,
            next: fields.generation()?,
            gid: u32::from_le_bytes(fields.take()?),
            size: Size {
                bytes: u64::from_le_bytes(fields.take()?),
                inodes: u64::from_le_bytes(fields.take()?),
            },
            target: {
                let (pod_uid, volume) =
                    (fields.take::<MAX_POD_UID>()?, fields.take::<MAX_VOLUME>()?);
                Target::new(text(&pod_uid)?, text(&volume)?).ok()?
            },
        })
    }
}

/// The rest of a packet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn generation(&mut self) -> Option<Option<Generation>> {
        let present = self.take::<1>()?[0] == 1;
        let number = u64::from_le_bytes(self.take()?);
        Some(present.then_some(Generation(number)))
    }
}

/// A text that zeros fill up.
fn text(field: &[u8]) -> Option<&str> {
    let end = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).ok()
}

// === impl Reply ===

impl Reply {
    pub(super) fn encode(self) -> [u8; REPLY] {
        let mut packet = [0; REPLY];
        packet[0] = match self {
            Self::Done => 1,
            Self::Absent => 2,
            Self::Ours => 3,
            Self::Foreign => 4,
            Self::Failed(failure) => {
                packet[1] = failure.step as u8;
                packet[2..6].copy_from_slice(&failure.errno.raw_os_error().to_le_bytes());
                5
            }
        };
        packet
    }

    pub(super) fn decode(packet: &[u8]) -> Option<Self> {
        let packet: &[u8; REPLY] = packet.try_into().ok()?;
        Some(match packet[0] {
            1 => Self::Done,
            2 => Self::Absent,
            3 => Self::Ours,
            4 => Self::Foreign,
            5 => {
                let (step, _) = *STEPS.iter().find(|(step, _)| *step as u8 == packet[1])?;
                let errno = i32::from_le_bytes(packet[2..6].try_into().ok()?);
                Self::Failed(Failure {
                    step,
                    errno: Errno::from_raw_os_error(errno),
                })
            }
            _ => return None,
        })
    }
}

// === impl Step ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = STEPS.iter().find(|(step, _)| step == self);
        f.write_str(text.map_or("", |(_, text)| text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    #[test]
    fn requests_arrive_as_they_were_sent() {
        for (operation, volume, current, next) in [
            (Operation::Look, "a", None, None),
            (
                Operation::Create,
                &*"v".repeat(63),
                None,
                Some(Generation(u64::MAX)),
            ),
            (
                Operation::Rewrite,
                "db-1",
                Some(Generation(0)),
                Some(Generation(1)),
            ),
        ] {
            let request = Request {
                operation,
                target: Target::new(UID, volume).unwrap(),
                current,
                next,
                gid: 65_534,
                size: Size {
                    bytes: 1 << 40,
                    inodes: 12,
                },
            };
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
    }

    #[test]
    fn replies_arrive_as_they_were_sent() {
        for (step, text) in STEPS {
            let failed = Reply::Failed(Failure {
                step,
                errno: Errno::NOSPC,
            });
            assert_eq!(Reply::decode(&failed.encode()), Some(failed));
            assert_eq!(step.to_string(), text);
        }
        for reply in [Reply::Done, Reply::Absent, Reply::Ours, Reply::Foreign] {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
    }

    proptest! {
        #[test]
        fn no_packet_makes_the_mounter_panic(packet in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(request) = Request::decode(&packet) {
                prop_assert_eq!(Request::decode(&request.encode()), Some(request));
            }
        }

        #[test]
        fn nor_one_that_is_nearly_right(at in 0..REQUEST, byte: u8) {
            let mut packet = Request {
                operation: Operation::Create,
                target: Target::new(UID, "a").unwrap(),
                current: None,
                next: None,
                gid: 0,
                size: Size { bytes: 0, inodes: 0 },
            }.encode();
            packet[at] = byte;
            let _ = Request::decode(&packet);
        }
    }
}
