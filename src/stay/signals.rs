//! All signals as events of one descriptor.
//!
//! Every signal that can be blocked is blocked, so none is lost between two steps and none runs a handler here; each is
//! read and handed on. What this process causes itself is told apart by who sent it: its children's ends, and SIGPIPE
//! of its own messages (`signalfd(2)`, `si_code` in `sigaction(2)`).

use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getpid;

/// The signals of this process.
pub(super) struct Signals {
    descriptor: SignalFd,
    /// What was blocked before, and is blocked for the program
    inherited: SigSet,
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// A child has ended, stopped or gone on
    Child,
    /// Somebody sent the signal of this number
    Sent(i32),
}

// === impl Signals ===

impl Signals {
    /// From now on every signal is an event.
    pub(super) fn take_over() -> nix::Result<Self> {
        let all = SigSet::all();
        let inherited = all.thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self {
            descriptor: SignalFd::with_flags(&all, flags)?,
            inherited,
        })
    }

    /// Gives a child the signals that it would have without us.
    pub(super) fn give_back(&self) -> nix::Result<()> {
        self.inherited.thread_set_mask()
    }

    /// The next signal, if one has arrived.
    pub(super) fn next(&self) -> Option<Arrived> {
        loop {
            let info = self.descriptor.read_signal().ok().flatten()?;
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            let of_a_process = matches!(info.ssi_code, libc::SI_USER | libc::SI_TKILL);
            if number == libc::SIGCHLD && !of_a_process {
                return Some(Arrived::Child);
            }
            if !(of_a_process && info.ssi_pid == getpid().as_raw().unsigned_abs()) {
                return Some(Arrived::Sent(number));
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
