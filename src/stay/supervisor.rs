//! One loop: wait for a signal, a file, a worker or a time; do what is due; until the program has ended.
//!
//! Only one worker is under way at a time, besides those that give back what an earlier program was issued.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use envlatch_sys::process::{Side, fork, wait_any};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_child_subreaper;

use super::agenda::{Agenda, BLIND, is_worth_a_word};
use super::digest::Digest;
use super::program::{Program, code};
use super::report::Report;
use super::signals::{Arrived, Signals};
use super::terminal::Terminal;
use super::watch::Watch;
use super::worker::{self, Forked, Task, Worker};
use super::{Staying, splay, work};
use crate::holdings::Holdings;
use crate::logging;
use crate::problem::{Exit, Problem, Problems};
use crate::settings::Action;

/// How long giving back may hold up the end of the launcher.
const END_WITHIN: Duration = Duration::from_secs(2);

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
        if let Some(span) = self
            .program
            .ledger
            .replacement()
            .filter(|span| span.due <= now)
        {
            self.replace(span.end.saturating_duration_since(now), now);
        }
        if self
            .agenda
            .act_at
            .is_some_and(|at| self.agenda.acts_at(at) <= now)
        {
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
            Action::Restart => return self.start(false),
            Action::Exit => self.end(Then::Exit),
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
            if self
                .worker
                .as_ref()
                .is_some_and(|worker| worker.task == Task::Start)
            {
                self.dismiss_worker();
            }
        }
    }

    // === workers ===

    fn start(&mut self, is_first: bool) -> Result<(), Problems> {
        let tokens = self.program.ledger.tokens();
        // What can be had anew is: a token of its own takes along, when it is revoked, what this start was issued and no more.
        let kept: Vec<_> = tokens
            .into_iter()
            .filter(|token| !token.replaceable)
            .collect();
        match worker::start(Task::Start, &self.signals) {
            Ok(Forked::Worker(channel)) => Err(work::start(self.staying, &kept, is_first, channel)),
            Ok(Forked::Launcher(worker)) => {
                if is_first {
                    self.program = Program::to_be(worker.pid);
                }
                self.worker = Some(worker);
                Ok(())
            }
            Err(error) if is_first => Err(cannot_stay(error)),
            Err(error) => {
                self.complain(&error.to_string());
                Ok(())
            }
        }
    }

    fn look(&mut self) -> Result<(), Problems> {
        match worker::start(Task::Look, &self.signals) {
            Ok(Forked::Worker(channel)) => {
                work::look(self.staying, &self.program.ledger.tokens(), channel)
            }
            other => self.employ(other),
        }
    }

    fn keep(&mut self, due: &Holdings) -> Result<(), Problems> {
        match worker::start(Task::Keep, &self.signals) {
            Ok(Forked::Worker(channel)) => {
                work::keep(self.staying, &self.program.ledger.tokens(), due, channel)
            }
            other => self.employ(other),
        }
    }

    fn employ(&mut self, forked: std::io::Result<Forked>) -> Result<(), Problems> {
        match forked {
            Ok(Forked::Launcher(worker)) => self.worker = Some(worker),
            Ok(Forked::Worker(_)) => unreachable!("a worker does its work"),
            Err(error) => self.complain(&error.to_string()),
        }
        Ok(())
    }

    fn give_back(&mut self, holdings: &Holdings) {
        let none_ours =
            holdings.leases.is_empty() && !holdings.tokens.iter().any(|token| token.ours);
        if none_ours {
            return;
        }
        match fork() {
            Ok(Side::Child) => {
                // Asked to end by nobody: its own time is short.
                work::give_back(self.staying, holdings)
            }
            Ok(Side::Parent(pid)) => {
                self.givers.insert(pid);
            }
            Err(error) => {
                logging::debug(format_args!("what was issued is left to expire: {error}"))
            }
        }
    }

    /// Takes in what the worker has to say, if that is complete.
    fn read_report(&mut self) {
        if self.successor.is_some() {
            return;
        }
        let Some(worker) = &mut self.worker else {
            return;
        };
        let Some(report) = worker.report() else {
            return;
        };
        match worker.task {
            Task::Start => self.starts(report),
            Task::Look => {
                self.worker = None;
                self.has_looked(report);
            }
            Task::Keep => {
                self.worker = None;
                self.has_kept(report);
            }
        }
    }

    /// A start has resolved everything, or could not.
    fn starts(&mut self, report: Report) {
        let is_first = self
            .worker
            .as_ref()
            .is_some_and(|worker| self.program.is(worker.pid));
        if let Some(failure) = &report.failure {
            self.worker = None;
            // A first start has said it itself, and its end is the launcher's.
            if !is_first {
                self.complain(failure);
            }
            return;
        }
        if is_first {
            self.begin(report);
            return;
        }
        self.relieved();
        let is_the_same = self.seen.is_some() && report.digest == self.program.digest;
        if is_the_same {
            self.agenda.act_at = None;
            self.seen = None;
            self.dismiss_worker();
            return;
        }
        logging::info(format_args!("values changed; the program is restarted"));
        self.successor = Some(report);
        self.end(Then::Restart);
    }

    /// The worker becomes the program.
    fn begin(&mut self, report: Report) {
        self.program.begins(report, &self.terminal);
        if let Some(worker) = self.worker.take() {
            worker.go();
        }
    }

    fn has_looked(&mut self, report: Report) {
        if let Some(failure) = &report.failure {
            self.agenda.changed = true;
            return self.complain(failure);
        }
        let now = Instant::now();
        self.relieved();
        self.agenda.looked(now);
        self.program.ledger.renewed(report.holdings, now);
        if report.digest == self.program.digest {
            // Changed back before anything was done.
            if self.seen.take().is_some() {
                self.agenda.act_at = None;
            }
            return;
        }
        self.seen = report.digest;
        if self.agenda.act_at.is_none() {
            self.agenda.act_at = Some(now + self.share);
        }
    }

    fn has_kept(&mut self, report: Report) {
        let now = Instant::now();
        self.program.ledger.renewed(report.holdings, now);
        for id in &report.gone_leases {
            self.program.ledger.lease_gone(id, now);
        }
        for family in report.gone_tokens {
            self.program.ledger.token_gone(family, now);
        }
        match &report.failure {
            Some(failure) => self.complain(failure),
            None => self.relieved(),
        }
    }

    /// Says why something is not up to date: at once, and then ever less.
    fn complain(&mut self, cause: &str) {
        let failures = self.agenda.failed(Instant::now());
        if is_worth_a_word(failures) {
            logging::warn(format_args!(
                "cannot refresh; the program goes on with what it has, and it is tried again: {cause}"
            ));
        }
    }

    fn relieved(&mut self) {
        if self.agenda.succeeded() {
            logging::info(format_args!("refreshing works again"));
        }
    }

    fn dismiss_worker(&mut self) {
        self.successor = None;
        if let Some(worker) = self.worker.take()
            && !self.program.is(worker.pid)
        {
            self.givers.insert(worker.pid);
            worker.dismiss();
        }
    }

    // === ends ===

    /// Takes every child that has ended. With the program's end, unless a successor takes its place, all ends.
    fn reap(&mut self) -> Option<Result<ExitCode, Problems>> {
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
        old.tokens.retain(|token| {
            let mut kept = report.holdings.tokens.iter();
            !kept.any(|kept| kept.secret == token.secret)
        });
        self.begin(report);
        self.give_back(&old);
    }

    /// The program has ended, and the launcher will: everything that was issued is given back.
    fn finish(&mut self) {
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
            let _ended = envlatch_sys::process::send(*giver, libc::SIGKILL);
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
