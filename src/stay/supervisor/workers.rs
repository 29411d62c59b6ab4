//! Which workers are started, and what becomes of their reports.

use std::time::Instant;

use envlatch_sys::process::{Side, fork};

use super::{Supervisor, Then, cannot_stay};
use crate::holdings::Holdings;
use crate::logging;
use crate::problem::Problems;
use crate::settings::Action;
use crate::stay::agenda::is_worth_a_word;
use crate::stay::program::Program;
use crate::stay::report::Report;
use crate::stay::work;
use crate::stay::worker::{self, Forked, Task};

// === impl Supervisor ===

impl Supervisor<'_> {
    pub(super) fn start(&mut self, is_first: bool) -> Result<(), Problems> {
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

    pub(super) fn look(&mut self) -> Result<(), Problems> {
        match worker::start(Task::Look, &self.signals) {
            Ok(Forked::Worker(channel)) => {
                work::look(self.staying, &self.program.ledger.tokens(), channel)
            }
            other => self.employ(other),
        }
    }

    pub(super) fn keep(&mut self, due: &Holdings) -> Result<(), Problems> {
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

    pub(super) fn give_back(&mut self, holdings: &Holdings) {
        let is_ours = holdings.tokens.iter().any(|token| token.ours);
        if holdings.leases.is_empty() && !is_ours {
            return;
        }
        match fork() {
            Ok(Side::Child) => work::give_back(self.staying, holdings),
            Ok(Side::Parent(pid)) => {
                self.givers.insert(pid);
            }
            Err(error) => {
                logging::debug(format_args!("what was issued is left to expire: {error}"))
            }
        }
    }

    /// Takes in what the worker has to say, if that is complete.
    pub(super) fn read_report(&mut self) {
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
        if self.staying.how.action == Action::Exit {
            // It was only to be known that the next start would succeed.
            self.dismiss_worker();
            return self.end(Then::Exit);
        }
        logging::info(format_args!("values changed; the program is restarted"));
        self.successor = Some(report);
        self.end(Then::Restart);
    }

    /// The worker becomes the program.
    pub(super) fn begin(&mut self, report: Report) {
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
        for id in &report.denied_leases {
            self.program.ledger.lease_denied(id, now);
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

    /// Ends the worker, unless it is about to be the program: that one is ended by signals, and says so by its code.
    pub(super) fn dismiss_worker(&mut self) {
        let program = &self.program;
        let dismissed = self.worker.take_if(|worker| !program.is(worker.pid));
        if let Some(worker) = dismissed {
            self.successor = None;
            self.givers.insert(worker.pid);
            worker.dismiss();
        }
    }
}
