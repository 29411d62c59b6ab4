//! The worker's side of the conversation with the mounter.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown,
    recv, recvmsg, sendmsg, shutdown,
};

use super::Failure;
use super::tmpfs::Size;
use super::wire::{Operation, REPLY, Reply, Request, Step};
use crate::layout::Generation;
use crate::target::Target;

/// How long the mounter may take to end.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Asks the mounter. The calls block, for less than a millisecond as a rule; one at a time.
#[derive(Clone, Debug)]
pub struct Mounter(Arc<Mutex<OwnedFd>>);

/// What is mounted on a target.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Absent,
    /// A volume of ours; its root directory, as pods see it.
    Ours(OwnedFd),
    /// Somebody else's, as the driver that we stand in for left it.
    Foreign(OwnedFd),
}

// === impl Mounter ===

impl Mounter {
    /// Talks through `socket`.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self(Arc::new(Mutex::new(socket)))
    }

    /// What is mounted.
    ///
    /// # Errors
    /// It cannot be said.
    pub fn look(&self, target: &Target) -> Result<Found, Failure> {
        match self.call(&request(Operation::Look, target))? {
            (Reply::Absent, _) => Ok(Found::Absent),
            (Reply::Ours, Some(root)) => Ok(Found::Ours(root)),
            (Reply::Foreign, Some(root)) => Ok(Found::Foreign(root)),
            _ => Err(out_of_step()),
        }
    }

    /// A new volume of `size` with an empty generation; its directory, to be filled. Nobody sees it before
    /// [`commit`](Self::commit).
    ///
    /// # Errors
    /// Nothing was made.
    pub fn create(
        &self,
        target: &Target,
        generation: Generation,
        gid: u32,
        size: Size,
    ) -> Result<OwnedFd, Failure> {
        let request = Request {
            next: Some(generation),
            gid,
            size,
            ..request(Operation::Create, target)
        };
        self.directory(&request)
    }

    /// A new generation beside `current` in a volume that is mounted; its directory, to be filled.
    ///
    /// # Errors
    /// The volume is as it was, without debris.
    pub fn rewrite(
        &self,
        target: &Target,
        current: Option<Generation>,
        generation: Generation,
        gid: u32,
        size: Size,
    ) -> Result<OwnedFd, Failure> {
        let request = Request {
            current,
            next: Some(generation),
            gid,
            size,
            ..request(Operation::Rewrite, target)
        };
        self.directory(&request)
    }

    /// The files of `generation` are complete: they take effect, all at once.
    ///
    /// # Errors
    /// A new volume is not mounted. One that was mounted has its old files, or, when `..data` was renamed already,
    /// the new ones.
    pub fn commit(&self, target: &Target, generation: Generation) -> Result<(), Failure> {
        let request = Request {
            next: Some(generation),
            ..request(Operation::Commit, target)
        };
        self.done(&request)
    }

    /// `generation` will not be completed.
    ///
    /// # Errors
    /// Debris stays until the next refresh.
    pub fn abort(
        &self,
        target: &Target,
        current: Option<Generation>,
        generation: Generation,
    ) -> Result<(), Failure> {
        let request = Request {
            current,
            next: Some(generation),
            ..request(Operation::Abort, target)
        };
        self.done(&request)
    }

    /// Makes links and removes debris, when `current` is what `..data` points to.
    ///
    /// # Errors
    /// It is not, or the kernel refused.
    pub fn settle(&self, target: &Target, current: Generation, gid: u32) -> Result<(), Failure> {
        let request = Request {
            current: Some(current),
            gid,
            ..request(Operation::Settle, target)
        };
        self.done(&request)
    }

    /// Removes every mount from the target, and the mount point when it is empty.
    ///
    /// # Errors
    /// Something is left.
    pub fn unmount(&self, target: &Target) -> Result<(), Failure> {
        self.done(&request(Operation::Unmount, target))
    }

    /// Lets the mounter do its last work, and waits until it has ended, for a second at most.
    pub fn end(&self) {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An error says that it has ended already.
        let _ = sockopt::set_socket_timeout(&*socket, Timeout::Recv, Some(LAST_WORK));
        if shutdown(&*socket, Shutdown::Write).is_ok() {
            let _ = recv(&*socket, &mut [0; REPLY], RecvFlags::empty());
        }
    }

    /// Shows that mounting works.
    ///
    /// # Errors
    /// It does not.
    pub fn probe(&self) -> Result<(), Failure> {
        let nowhere =
            Target::new("00000000000000000000000000000000", "none").expect("is a UID and a label");
        self.done(&request(Operation::Probe, &nowhere))
    }

    fn directory(&self, request: &Request) -> Result<OwnedFd, Failure> {
        match self.call(request)? {
            (Reply::Done, Some(directory)) => Ok(directory),
            _ => Err(out_of_step()),
        }
    }

    fn done(&self, request: &Request) -> Result<(), Failure> {
        match self.call(request)? {
            (Reply::Done, None) => Ok(()),
            _ => Err(out_of_step()),
        }
    }

    fn call(&self, request: &Request) -> Result<(Reply, Option<OwnedFd>), Failure> {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, descriptor) =
            exchange(&socket, request).map_err(|errno| Step::Ask.failed(errno))?;
        match Reply::decode(&reply) {
            Some(Reply::Failed(failure)) => Err(failure),
            Some(reply) => Ok((reply, descriptor)),
            None => Err(out_of_step()),
        }
    }
}

fn exchange(socket: &OwnedFd, request: &Request) -> Result<([u8; REPLY], Option<OwnedFd>), Errno> {
    let packet = request.encode();
    let mut none = SendAncillaryBuffer::default();
    rustix::io::retry_on_intr(|| {
        sendmsg(
            socket,
            &[IoSlice::new(&packet)],
            &mut none,
            SendFlags::NOSIGNAL,
        )
    })?;
    let mut reply = [0; REPLY];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut reply)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    if received.bytes == 0 {
        return Err(Errno::PIPE);
    }
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((reply, descriptor))
}

fn request(operation: Operation, target: &Target) -> Request {
    Request {
        operation,
        target: target.clone(),
        current: None,
        next: None,
        gid: 0,
        size: Size::default(),
    }
}

/// The mounter answered what no mounter of this program answers.
fn out_of_step() -> Failure {
    Step::Ask.failed(Errno::PROTO)
}
