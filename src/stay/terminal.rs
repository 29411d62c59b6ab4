//! The controlling terminal, which belongs to one process group at a time (`tcsetpgrp(3)`).
//!
//! The program has a group of its own, so that what it starts can be ended with it. At a terminal that group must be the
//! foreground, or the program could not read and Ctrl-C would not reach it. When it stops, a shell that waits for the
//! launcher must see the launcher stop.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use nix::libc;
use nix::unistd::{Pid, getpgid, getpgrp, getppid, getsid, tcgetpgrp, tcsetpgrp};

/// The terminal of this session, if there is one.
pub(super) struct Terminal(Option<File>);

// === impl Terminal ===

impl Terminal {
    pub(super) fn of_this_session() -> Self {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NOCTTY);
        Self(options.open("/dev/tty").ok())
    }

    /// Hands the terminal to the group `to`, if `from` has it.
    pub(super) fn hand_over(&self, from: Pid, to: Pid) {
        if let Some(terminal) = &self.0
            && tcgetpgrp(terminal) == Ok(from)
        {
            // Fails when the group is gone, and then nobody is there to need it.
            let _gone = tcsetpgrp(terminal, to);
        }
    }

    /// Whether somebody, as a shell with jobs does, would continue this process after it stopped: its parent, in the
    /// same session and another group. Else the kernel would not have let a terminal stop it (an orphaned group).
    pub(super) fn is_job() -> bool {
        let parent = Some(getppid());
        getsid(parent).is_ok_and(|session| getsid(None) == Ok(session))
            && getpgid(parent).is_ok_and(|group| group != getpgrp())
    }
}
