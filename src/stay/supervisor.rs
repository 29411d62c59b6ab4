//! One loop: wait for a signal, a file, a worker or a time; do what is due; until the program has ended.
//!
//! Only one worker is under way at a time, besides those that give back what an earlier program was issued.

mod ends;
mod workers;

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_child_subreaper;

use super::agenda::{Agenda, BLIND};
use super::digest::Digest;
use super::program::Program;
use super::report::Report;
use super::signals::{Arrived, Signals};
use super::terminal::Terminal;
use super::watch::Watch;
use super::worker::{Task, Worker};
use super::{Staying, splay};
use crate::logging;
use crate::problem::{Exit, Problem, Problems};
use crate::settings::Action;

/// Why a program is told to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Its successor waits
    Restart,
    /// The launcher ends with it
    Exit,
    /// Somebody else asked for it
    Leave,
}

/// The launcher beside a program.
pub(super) struct Supervisor<'a> {
    staying: &'a Staying<'a>,
    signals: Signals,
    terminal: Terminal,
    watch: Watch,
    share: Duration,
    agenda: Agenda,
    program: Program,
    /// The hash that differs from the program's
    seen: Option<Digest>,
    worker: Option<Worker>,
    /// What a worker that waits to become the program has reported
    successor: Option<Report>,
    givers: BTreeSet<i32>,
    ending: Option<Then>,
    /// When the program has had its time to end
    kill_at: Option<Instant>,
}

// === impl Supervisor ===

impl<'a> Supervisor<'a> {
    /// Takes over the signals of this process.
    pub(super) fn new(staying: &'a Staying<'a>) -> Result<Self, Problems> {
        let signals = Signals::take_over().map_err(cannot_stay)?;
        set_child_subreaper(true).map_err(cannot_stay)?;
        let plan = staying.plan();
        let watches_values = staying.how.watches_values;
        let directories = match watches_values {
            true => staying.directories(plan.as_ref()),
            false => BTreeSet::new(),
        };
        let watch = Watch::new(&directories);
        let asks = plan.is_some_and(|plan| !plan.steady(staying.environment).requests.is_empty());
        let polls = (asks && watches_values).then_some(staying.how.poll);
        let look_every = polls
            .into_iter()
            .chain(watch.is_blind.then_some(BLIND))
            .min();
        Ok(Self {
            staying,
            signals,
            terminal: Terminal::of_this_session(),
            watch,
            share: splay::share(staying.how.splay, &splay::identity(staying.environment)),
            agenda: Agenda::new(look_every, Instant::now()),
            program: Program::to_be(0),
            seen: None,
            worker: None,
            successor: None,
            givers: BTreeSet::new(),
            ending: None,
            kill_at: None,
        })
    }

    /// Starts the program and stays until it has ended.
    pub(super) fn run(mut self) -> Result<ExitCode, Problems> {
        self.start(true)?;
        loop {
            self.do_what_is_due()?;
            self.wait();
            if self.watch.drain() {
                self.agenda.changed = true;
                self.agenda.not_before = None;
            }
            self.read_report();
            while let Some(arrived) = self.signals.next() {
                match arrived {
                    Arrived::Sent(number) => self.hand_on(number),
                    Arrived::Child => {
                        if let Some(outcome) = self.reap() {
                            self.finish();
                            return outcome;
                        }
                    }
                }
            }
        }
    }

    /// Sleeps until something happens or is due.
    fn wait(&self) {
        let timeout = self.next_time().map_or(PollTimeout::NONE, |at| {
            let left = at.saturating_duration_since(Instant::now());
            // Rounded up, or the last millisecond would be spent asking.
            let millis = left.as_millis() + u128::from(left.subsec_nanos() % 1_000_000 != 0);
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
        });
        let waiting = self.worker.as_ref().filter(|_| self.successor.is_none());
        let descriptors = [
            Some(self.signals.as_fd()),
            self.watch.descriptor(),
            waiting.map(Worker::descriptor),
        ];
        let mut descriptors: Vec<_> = descriptors
            .into_iter()
            .flatten()
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        // An interrupted wait is an early one, and everything is looked at after each.
        let _early = poll(&mut descriptors, timeout);
    }

    fn next_time(&self) -> Option<Instant> {
        let renewal = self.program.ledger.next_renewal();
        let due = match self.ending {
            _ if !self.is_free() => None,
            Some(_) => renewal.map(|at| self.agenda.tries_at(at)),
            None => {
                let is_pending = self.agenda.act_at.is_some();
                let replacement = self.program.ledger.replacement().filter(|_| !is_pending);
                let replacement = replacement.map(|span| span.due);
                self.agenda
                    .next(renewal)
                    .into_iter()
                    .chain(replacement)
                    .min()
            }
        };
        due.into_iter().chain(self.kill_at).min()
    }

    fn do_what_is_due(&mut self) -> Result<(), Problems> {
        let now = Instant::now();
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.time_is_over();
        }
        if !self.is_free() {
            return Ok(());
        }
        if self.ending.is_some() {
            return self.keep_what_is_due(now);
        }
        let replacement = self.program.ledger.replacement();
        if let Some(span) = replacement.filter(|span| span.due <= now) {
            self.replace(span.end.saturating_duration_since(now), now);
        }
        let acts_at = self.agenda.act_at.map(|at| self.agenda.acts_at(at));
        if acts_at.is_some_and(|at| at <= now) {
            return self.act();
        }
        self.keep_what_is_due(now)?;
        if self.worker.is_none() && !self.agenda.must_wait(now) && self.agenda.must_look(now) {
            self.agenda.changed = false;
            return self.look();
        }
        Ok(())
    }

    /// Whether there is a program, and a worker may be started for it. One that was asked to end by somebody else keeps
    /// what it was issued until it has.
    fn is_free(&self) -> bool {
        let acts = matches!(self.ending, Some(Then::Restart | Then::Exit));
        self.worker.is_none() && !acts && self.program.since().is_some()
    }

    fn keep_what_is_due(&mut self, now: Instant) -> Result<(), Problems> {
        match self.program.ledger.due(now) {
            Some(due) if !self.agenda.must_wait(now) => self.keep(&due),
            _ => Ok(()),
        }
    }

    /// Something ends after `left`, and its successor can only be had by a new start.
    fn replace(&mut self, left: Duration, now: Instant) {
        if self.agenda.act_at.is_none() {
            self.agenda.act_at = Some(now + self.share.min(left / 2));
        }
        self.seen = None;
    }

    fn act(&mut self) -> Result<(), Problems> {
        match self.staying.how.action {
            Action::Signal(number) => {
                self.program.signal(number);
                self.acted();
            }
            // Also before an exit: if the next start would fail, the program goes on.
            Action::Restart | Action::Exit => return self.start(false),
        }
        Ok(())
    }

    /// What the program knows now, or is told to find out, is what was seen last.
    fn acted(&mut self) {
        self.agenda.act_at = None;
        self.program.ledger.give_up_replacing();
        self.program.digest = self.seen.take().or(self.program.digest);
    }

    /// Asks the program to end.
    fn end(&mut self, then: Then) {
        self.ending = Some(then);
        self.kill_at = Some(Instant::now() + self.staying.how.grace);
        self.agenda.act_at = None;
        self.program.signal(libc::SIGTERM);
    }

    fn time_is_over(&mut self) {
        match self.ending {
            Some(Then::Restart | Then::Exit) => {
                logging::info(format_args!(
                    "the program did not end in time and is killed"
                ));
                self.program.kill();
            }
            // Somebody else asked it to end, and it may take its time, if it has heard.
            _ if self.program.ignores_termination() => self.program.kill(),
            _ => {}
        }
    }

    /// Every signal is the program's. One that asks it to end also says that nothing is to be started any more.
    fn hand_on(&mut self, number: i32) {
        if number == libc::SIGCONT {
            self.program.take_terminal(&self.terminal);
        }
        self.program.signal(number);
        let restarts = self.ending == Some(Then::Restart);
        let asks_to_end = number == libc::SIGTERM || number == libc::SIGINT && restarts;
        if asks_to_end && self.ending.is_none_or(|_| restarts) {
            self.ending = Some(Then::Leave);
            let grace = Instant::now() + self.staying.how.grace;
            self.kill_at = Some(self.kill_at.unwrap_or(grace));
            let starts = |worker: &Worker| worker.task == Task::Start;
            if self.worker.as_ref().is_some_and(starts) {
                self.dismiss_worker();
            }
        }
    }
}

fn cannot_stay(error: impl Into<std::io::Error>) -> Problems {
    let error: std::io::Error = error.into();
    Problem::new(
        Exit::Bug,
        format!("cannot stay beside the program: {error}"),
    )
    .into()
}
