//! Work is done by children that live as long as the work: they read values, talk to servers, and end, or become the
//! program. So the launcher itself never holds a value that a program gets, has no runtime, no connection and no TLS, and
//! waits for nothing but signals and pipes.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use envlatch_secret::Secret;
use envlatch_sys::process::{Side, fork};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

use super::report::Report;
use super::signals::Signals;

/// A child at work.
pub(super) struct Worker {
    pub(super) pid: i32,
    pub(super) task: Task,
    report: PipeReader,
    word: PipeWriter,
    received: Vec<u8>,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Resolves everything and becomes the program when it is told to
    Start,
    /// Resolves what is the same each time, to compare it
    Look,
    /// Renews tokens and leases
    Keep,
}

/// The worker's ends of the pipes.
pub(super) struct Channel {
    report: PipeWriter,
    word: PipeReader,
}

/// Which side of a fork this is.
pub(super) enum Forked {
    Launcher(Worker),
    Worker(Channel),
}

/// More than a report ever has, so that the buffer is not copied as it grows.
const CAPACITY: usize = 16 * 1024;

const GO: u8 = b'g';

/// Starts a worker. It gets the signals that it would have without us, and ends when we do: whoever kills the launcher
/// means the program, as if there were no launcher.
pub(super) fn start(task: Task, signals: &Signals) -> io::Result<Forked> {
    let (report, report_end) = io::pipe()?;
    let (word_end, word) = io::pipe()?;
    fcntl(report.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let launcher = getpid();
    match fork()? {
        Side::Parent(pid) => Ok(Forked::Launcher(Worker {
            pid,
            task,
            report,
            word,
            received: Vec::with_capacity(CAPACITY),
        })),
        Side::Child => {
            set_pdeathsig(Signal::SIGKILL)?;
            if getppid() != launcher {
                std::process::exit(128 + Signal::SIGKILL as i32);
            }
            signals.give_back()?;
            Ok(Forked::Worker(Channel {
                report: report_end,
                word: word_end,
            }))
        }
    }
}

// === impl Worker ===

impl Worker {
    /// What becomes readable when it reports.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// Its report once that is complete; one that says so when it ended without.
    pub(super) fn report(&mut self) -> Option<Report> {
        match self.report.read_to_end(&mut self.received) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            _ => {
                let text = Secret::new(std::mem::take(&mut self.received));
                let silent = || Report::failed("a worker ended without a report");
                Some(Report::parse(&text).unwrap_or_else(silent))
            }
        }
    }

    /// Tells a worker that has reported to become the program.
    pub(super) fn go(mut self) {
        let _ended = self.word.write_all(&[GO]);
    }

    /// Ends it; it gives back what it was issued.
    pub(super) fn dismiss(self) {
        let _ended = envlatch_sys::process::send(self.pid, Signal::SIGTERM as i32);
    }
}

// === impl Channel ===

impl Channel {
    /// Tells the launcher, and waits for its word: whether to become the program.
    pub(super) fn ask(mut self, report: &Report) -> bool {
        self.send(report);
        drop(self.report);
        let mut word = [0];
        self.word.read_exact(&mut word).is_ok() && word == [GO]
    }

    /// Tells the launcher, and ends.
    pub(super) fn tell(mut self, report: &Report) -> ! {
        self.send(report);
        std::process::exit(0)
    }

    fn send(&mut self, report: &Report) {
        // Fails only without a launcher, and then this process is about to be killed.
        let _nobody = self.report.write_all(report.to_text().expose());
    }
}
