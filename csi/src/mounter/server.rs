//! The mounter's loop: one request, one reply, until the worker is gone.

use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg,
    sendmsg,
};

use super::Failure;
use super::attach::{self, Look};
use super::tmpfs::{self, Features, Tmpfs};
use super::tree;
use super::wire::{Operation, REQUEST, Reply, Request, Step};
use crate::beneath;
use crate::layout::Generation;
use crate::mountinfo::MountInfo;
use crate::target::Target;

/// Generations being written at a time. The worker has fewer threads that write.
const MAX_PENDING: usize = 256;

/// The mounter's whole state.
#[derive(Debug)]
pub struct Server {
    /// Kubelet's directory of pods.
    pub pods: OwnedFd,
    /// What is mounted.
    pub table: MountInfo,
    /// What the kernel can do.
    pub features: Features,
    /// Generations that the worker is writing.
    pending: HashMap<Generation, Pending>,
}

/// A generation that is not yet complete.
#[derive(Debug)]
struct Pending {
    target: Target,
    place: Private,
    gid: u32,
    /// What is in force until then.
    current: Option<Generation>,
    /// Whether the file system is still to be attached.
    new: bool,
}

/// A mount that nobody sees: of a new file system, or a writable clone.
#[derive(Debug)]
struct Private {
    /// The mount, as a place (`O_PATH`).
    mount: OwnedFd,
    /// Its root directory, open.
    root: OwnedFd,
}

type Answer = Result<(Reply, Option<OwnedFd>), Failure>;

// === impl Step ===

impl Step {
    pub(super) fn failed(self, errno: Errno) -> Failure {
        Failure { step: self, errno }
    }
}

// === impl Server ===

impl Server {
    /// A mounter below `pods`.
    #[must_use]
    pub fn new(pods: OwnedFd, table: MountInfo, features: Features) -> Self {
        Self {
            pods,
            table,
            features,
            pending: HashMap::new(),
        }
    }

    /// Serves the worker at the other end of `socket` until it is gone.
    ///
    /// # Errors
    /// The socket does not work.
    pub fn run(mut self, socket: &OwnedFd) -> Result<(), Errno> {
        let mut packet = [0; REQUEST];
        loop {
            let mut buffers = [IoSliceMut::new(&mut packet)];
            let received = rustix::io::retry_on_intr(|| {
                // No room for descriptors: none is taken from the worker.
                let mut none = RecvAncillaryBuffer::new(&mut []);
                recvmsg(socket, &mut buffers, &mut none, RecvFlags::CMSG_CLOEXEC)
            });
            let received = match received {
                // With an answer that it did not wait for.
                Err(Errno::CONNRESET) => return Ok(()),
                received => received?,
            };
            if received.bytes == 0 {
                return Ok(());
            }
            let answer = match Request::decode(&packet[..received.bytes]) {
                Some(request) => self.answer(&request),
                None => Err(Step::Read.failed(Errno::INVAL)),
            };
            let (reply, descriptor) =
                answer.unwrap_or_else(|failure| (Reply::Failed(failure), None));
            match send(socket, reply, descriptor.as_ref().map(AsFd::as_fd)) {
                // The worker went away before its answer came.
                Err(Errno::PIPE) => return Ok(()),
                sent => sent?,
            }
        }
    }

    fn answer(&mut self, request: &Request) -> Answer {
        match request.operation {
            Operation::Look => self.look(&request.target),
            Operation::Create => self.create(request),
            Operation::Rewrite => self.rewrite(request),
            Operation::Commit => self.commit(request),
            Operation::Abort => self.abort(request),
            Operation::Settle => self.settle(request),
            Operation::Unmount => self.unmount(&request.target),
            Operation::Probe => Features::probe()
                .map(|_| (Reply::Done, None))
                .map_err(|errno| Step::MakeFileSystem.failed(errno)),
        }
    }

    fn look(&self, target: &Target) -> Answer {
        let Some(parent) = self.parent(target)? else {
            return Ok((Reply::Absent, None));
        };
        let look =
            attach::look(&parent, &self.table).map_err(|errno| Step::Inspect.failed(errno))?;
        Ok(match look {
            Look::Absent => (Reply::Absent, None),
            Look::Ours(root) => (Reply::Ours, Some(root)),
            Look::Foreign(root) => (Reply::Foreign, Some(root)),
        })
    }

    fn create(&mut self, request: &Request) -> Answer {
        let generation = self.free_generation(request)?;
        let tmpfs = Tmpfs {
            size: request.size,
            uid: 0,
            gid: request.gid,
            mode: 0o755,
        };
        let place = tmpfs
            .create(self.features)
            .and_then(Private::new)
            .and_then(|place| tmpfs::mark(&place.root).map(|()| place))
            .map_err(|errno| Step::MakeFileSystem.failed(errno))?;
        self.begin(request, generation, place, true)
    }

    fn rewrite(&mut self, request: &Request) -> Answer {
        let generation = self.free_generation(request)?;
        let place = self.writable_clone(&request.target)?;
        tree::clear_debris(&place.root, request.current)
            .map_err(|errno| Step::Settle.failed(errno))?;
        tmpfs::resize(&place.mount, request.size, self.features)
            .map_err(|errno| Step::Resize.failed(errno))?;
        self.begin(request, generation, place, false)
    }

    fn begin(
        &mut self,
        request: &Request,
        generation: Generation,
        place: Private,
        new: bool,
    ) -> Answer {
        let directory = tree::make_generation(&place.root, generation)
            .map_err(|errno| Step::MakeGeneration.failed(errno))?;
        let pending = Pending {
            target: request.target.clone(),
            place,
            gid: request.gid,
            current: request.current,
            new,
        };
        self.pending.insert(generation, pending);
        Ok((Reply::Done, Some(directory)))
    }

    fn commit(&mut self, request: &Request) -> Answer {
        let (generation, pending) = self.take(request)?;
        let committed = self.put_in_force(generation, &pending);
        let root = &pending.place.root;
        if committed.is_err() && !pending.new && !tree::is_in_force(root, generation) {
            // What it does not remove now, the next refresh does.
            let _ = tree::clear_debris(root, pending.current);
        }
        committed.map(|()| (Reply::Done, None))
    }

    fn put_in_force(&self, generation: Generation, pending: &Pending) -> Result<(), Failure> {
        let put = |step: Step| move |errno| step.failed(errno);
        let Private { mount, root } = &pending.place;
        tree::seal(root, generation, pending.gid).map_err(put(Step::SetOwner))?;
        tree::swap(root, generation).map_err(put(Step::Swap))?;
        tree::settle(root, generation, pending.gid).map_err(put(Step::Settle))?;
        if pending.new {
            if self.features.read_only {
                tmpfs::set_read_only(mount, true).map_err(put(Step::SetReadOnly))?;
            }
            let parent = self
                .parent(&pending.target)?
                .ok_or(Step::OpenParent.failed(Errno::NOENT))?;
            attach::attach(mount, &parent)?;
        }
        Ok(())
    }

    fn abort(&mut self, request: &Request) -> Answer {
        let (generation, pending) = self.take(request)?;
        if !pending.new {
            tree::clear_debris(&pending.place.root, request.current)
                .map_err(|errno| Step::Settle.failed(errno))?;
            debug_assert_ne!(request.current, Some(generation));
        }
        Ok((Reply::Done, None))
    }

    fn settle(&self, request: &Request) -> Answer {
        let current = request
            .current
            .ok_or(Step::FindGeneration.failed(Errno::INVAL))?;
        let Private { root, .. } = self.writable_clone(&request.target)?;
        if !tree::is_in_force(&root, current) {
            return Err(Step::FindGeneration.failed(Errno::NOENT));
        }
        tree::settle(&root, current, request.gid).map_err(|errno| Step::Settle.failed(errno))?;
        Ok((Reply::Done, None))
    }

    fn unmount(&self, target: &Target) -> Answer {
        if let Some(parent) = self.parent(target)? {
            attach::detach(&parent)?;
        }
        Ok((Reply::Done, None))
    }

    fn parent(&self, target: &Target) -> Result<Option<OwnedFd>, Failure> {
        attach::open_parent(&self.pods, target).map_err(|errno| Step::OpenParent.failed(errno))
    }

    /// A mount of the target's file system that can be written and that nobody else sees. Only of ours.
    fn writable_clone(&self, target: &Target) -> Result<Private, Failure> {
        let parent = self
            .parent(target)?
            .ok_or(Step::OpenParent.failed(Errno::NOENT))?;
        let look = attach::look(&parent, &self.table);
        let Look::Ours(root) = look.map_err(|errno| Step::Inspect.failed(errno))? else {
            return Err(Step::Inspect.failed(Errno::NODEV));
        };
        let clone = tmpfs::private_clone(&root).map_err(|errno| Step::SetReadOnly.failed(errno))?;
        if self.features.read_only {
            tmpfs::set_read_only(&clone, false).map_err(|errno| Step::SetReadOnly.failed(errno))?;
        }
        Private::new(clone).map_err(|errno| Step::Inspect.failed(errno))
    }

    fn free_generation(&self, request: &Request) -> Result<Generation, Failure> {
        let generation = request
            .next
            .ok_or(Step::FindGeneration.failed(Errno::INVAL))?;
        if self.pending.contains_key(&generation) || self.pending.len() >= MAX_PENDING {
            return Err(Step::FindGeneration.failed(Errno::AGAIN));
        }
        Ok(generation)
    }

    fn take(&mut self, request: &Request) -> Result<(Generation, Pending), Failure> {
        request
            .next
            .and_then(|generation| self.pending.remove_entry(&generation))
            .filter(|(_, pending)| pending.target == request.target)
            .ok_or(Step::FindGeneration.failed(Errno::NOENT))
    }
}

// === impl Private ===

impl Private {
    fn new(mount: OwnedFd) -> Result<Self, Errno> {
        let root = beneath::open_directory(&mount, ".")?;
        Ok(Self { mount, root })
    }
}

fn send(socket: &OwnedFd, reply: Reply, descriptor: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let packet = reply.encode();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if let Some(descriptor) = &descriptor {
        ancillary.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(
            descriptor,
        )));
    }
    let flags = SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&packet)], &mut ancillary, flags))?;
    Ok(())
}
