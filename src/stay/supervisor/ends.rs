//! What happens when a child ends: the program, a worker, or an orphan that was adopted.

use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use envlatch_sys::process::{send, wait_any};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Supervisor, Then};
use crate::problem::{Exit, Problem, Problems};
use crate::stay::program::{Program, code};

/// How long giving back may hold up the end of the launcher.
const END_WITHIN: Duration = Duration::from_secs(2);

// === impl Supervisor ===

impl Supervisor<'_> {
    /// Takes every child that has ended. With the program's end, unless a successor takes its place, all ends.
    pub(super) fn reap(&mut self) -> Option<Result<ExitCode, Problems>> {
        loop {
            let (pid, status) = match wait_any() {
                Ok(Some(child)) => child,
                Ok(None) | Err(_) => return None,
            };
            match status.stopped_signal() {
                Some(signal) if self.program.is(pid) => {
                    self.program.stopped(signal, &self.terminal)
                }
                Some(_) => {}
                None if self.program.is(pid) => {
                    if let Some(outcome) = self.program_ended(status) {
                        return Some(outcome);
                    }
                }
                None => {
                    self.givers.remove(&pid);
                    let is_successor = self.successor.is_some()
                        && self.worker.as_ref().is_some_and(|worker| worker.pid == pid);
                    if is_successor {
                        self.worker = None;
                        self.successor = None;
                    }
                }
            }
        }
    }

    fn program_ended(&mut self, status: ExitStatus) -> Option<Result<ExitCode, Problems>> {
        match self.ending.take() {
            Some(Then::Restart) if self.successor.is_some() => {
                self.succeed();
                None
            }
            Some(Then::Restart | Then::Exit) => {
                let text = "values changed, and the program was ended so that it is started with the new ones";
                Some(Err(Problem::new(Exit::Changed, text).into()))
            }
            _ => Some(Ok(ExitCode::from(code(status)))),
        }
    }

    /// The successor takes the place of the program that has ended.
    fn succeed(&mut self) {
        let (Some(report), Some(worker)) = (self.successor.take(), &self.worker) else {
            return;
        };
        let now = Instant::now();
        let next = Program::to_be(worker.pid);
        let previous = std::mem::replace(&mut self.program, next);
        previous.kill_group();
        previous.return_terminal(&self.terminal);
        let ran = previous.since().map_or(Duration::ZERO, |since| now - since);
        self.agenda.restarted(ran, now);
        self.kill_at = None;
        self.seen = None;
        let mut old = previous.ledger.holdings();
        // A token that serves on is only lent, to end the leases of the program that it replaced.
        for token in &mut old.tokens {
            let mut kept = report.holdings.tokens.iter();
            token.ours &= !kept.any(|kept| kept.secret == token.secret);
        }
        self.begin(report);
        self.give_back(&old);
    }

    /// The program has ended, and the launcher will: everything that was issued is given back.
    pub(super) fn finish(&mut self) {
        self.program.return_terminal(&self.terminal);
        self.dismiss_worker();
        let holdings = self.program.ledger.holdings();
        self.give_back(&holdings);
        let end = Instant::now() + END_WITHIN;
        while !self.givers.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let mut descriptors = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            let _early = poll(&mut descriptors, timeout);
            while self.signals.next().is_some() {}
            while let Ok(Some((pid, status))) = wait_any() {
                if status.stopped_signal().is_none() {
                    self.givers.remove(&pid);
                }
            }
        }
        for giver in &self.givers {
            let _ended = send(*giver, libc::SIGKILL);
        }
    }
}
