//! The program as a process: its start, its signals, how it is stopped, and how it ends.

use std::ffi::{CStr, CString};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Instant;

use envlatch_sys::process::send;
use nix::libc;
use nix::sys::prctl::set_name;
use nix::unistd::{Pid, getpgrp, setpgid};

use super::digest::Digest;
use super::ledger::Ledger;
use super::report::Report;
use super::terminal::Terminal;

/// The program, or the worker that is about to become it.
pub(super) struct Program {
    pid: i32,
    /// When it started; `None` while its worker resolves
    since: Option<Instant>,
    /// The hash of what it was started with
    pub(super) digest: Option<Digest>,
    pub(super) ledger: Ledger,
}

/// What begins the name of a launcher that stays in `ps`; its program's process id follows.
pub(crate) const NAME: &str = "envlatch:";

/// The same where the kernel's 15 bytes are too few.
pub(crate) const SHORT_NAME: &str = "envl:";

/// The name of a launcher that has not started its program yet; `execve` names a process after its program.
pub(crate) const STARTING: &CStr = c"envlatch:start";

// === impl Program ===

impl Program {
    /// A worker on its way to becoming the program.
    pub(super) fn to_be(pid: i32) -> Self {
        Self {
            pid,
            since: None,
            digest: None,
            ledger: Ledger::default(),
        }
    }

    pub(super) fn is(&self, pid: i32) -> bool {
        self.pid == pid
    }

    /// When it started, unless it has not yet.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Everything is there: gives it a process group, the terminal, and what was issued for it.
    pub(super) fn begins(&mut self, report: Report, terminal: &Terminal) {
        let now = Instant::now();
        self.since = Some(now);
        self.digest = report.digest;
        self.ledger = Ledger::new(report.holdings, now);
        let group = Pid::from_raw(self.pid);
        // Fails when it has just been killed, which the next signal tells.
        let _ended = setpgid(group, group);
        terminal.hand_over(getpgrp(), group);
        publish(self.pid);
    }

    /// Hands a signal on. One that continues goes to the whole group, because what stopped it did as well.
    pub(super) fn signal(&self, number: i32) {
        let whole_group = number == libc::SIGCONT && self.since.is_some();
        let _ended = send(if whole_group { -self.pid } else { self.pid }, number);
    }

    /// Ends it and everything in its group for good.
    pub(super) fn kill(&self) {
        let _ended = send(self.pid, libc::SIGKILL);
        self.kill_group();
    }

    /// Ends what it left behind in its group.
    pub(super) fn kill_group(&self) {
        if self.since.is_some() {
            let _nobody_left = send(-self.pid, libc::SIGKILL);
        }
    }

    /// It was stopped by `signal`. At a shell with jobs the launcher stops with it, until the shell continues both; where
    /// nobody would, a stop by the terminal does not hold, as the kernel has it for orphaned groups. A stop by SIGSTOP is
    /// somebody's will.
    pub(super) fn stopped(&self, signal: i32, terminal: &Terminal) {
        if signal == libc::SIGSTOP {
            return;
        }
        if Terminal::is_job() {
            self.return_terminal(terminal);
            let _this_group = send(0, libc::SIGSTOP);
            self.take_terminal(terminal);
        }
        self.signal(libc::SIGCONT);
    }

    /// Gives it the terminal, if it is ours.
    pub(super) fn take_terminal(&self, terminal: &Terminal) {
        terminal.hand_over(getpgrp(), Pid::from_raw(self.pid));
    }

    /// Takes the terminal back.
    pub(super) fn return_terminal(&self, terminal: &Terminal) {
        terminal.hand_over(Pid::from_raw(self.pid), getpgrp());
    }

    /// Whether SIGTERM, once sent, has no effect on it: it ignores it, or blocks it and does not look.
    pub(super) fn ignores_termination(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let status = status.unwrap_or_default();
        let has = |field: &str| {
            let mask = status.lines().find_map(|line| line.strip_prefix(field));
            let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            mask.unwrap_or_default() & (1 << (libc::SIGTERM - 1)) != 0
        };
        has("SigIgn:") || has("SigBlk:") && has("ShdPnd:")
    }
}

/// Tells `envlatch exec` which process is the program: a name is what everyone in the container may read.
fn publish(pid: i32) {
    let fits = |name: &String| name.len() <= 15;
    let name = Some(format!("{NAME}{pid}")).filter(fits);
    let name = name.unwrap_or_else(|| format!("{SHORT_NAME}{pid}"));
    let _only_exec_needs_it = CString::new(name).map(|name| set_name(&name));
}

/// The exit code that stands for how a process ended: its own, or 128 and the number of the signal.
pub(super) fn code(status: ExitStatus) -> u8 {
    let number = status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or_default();
    u8::try_from(number).unwrap_or(u8::MAX)
}
