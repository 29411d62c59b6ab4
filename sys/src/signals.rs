//! Termination while the launcher is the process: as PID 1 of a container the kernel drops every signal that has no
//! handler (`pid_namespaces(7)`), so without one `docker stop` waits for its grace period.
//!
//! `execve` gives caught signals their default action back, so nothing has to be undone before it. A signal that was
//! inherited as ignored (`nohup`) stays ignored, for the launcher and for the program.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// The signals that ask a process to end.
const TERMINATION: [Signal; 2] = [Signal::SIGTERM, Signal::SIGINT];

/// Where the handler writes the signal's number; negative while it ends the process itself.
static NOTIFY: AtomicI32 = AtomicI32::new(-1);

/// From now on SIGTERM and SIGINT end this process at once with code 128+n, unless they were ignored before.
///
/// # Errors
/// The kernel refused to set a handler.
#[allow(unsafe_code, reason = "sigaction has no safe form")]
pub fn exit_on_termination() -> io::Result<()> {
    for signal in TERMINATION {
        let action = SigAction::new(
            SigHandler::Handler(on_termination),
            SaFlags::SA_RESTART,
            SigSet::empty(),
        );
        // SAFETY: `on_termination` only calls write(2) and _exit(2), both async-signal-safe (signal-safety(7)), reads
        // one atomic, and leaves errno as it found it.
        let previous = unsafe { sigaction(signal, &action) }?;
        if matches!(previous.handler(), SigHandler::SigIgn) {
            // SAFETY: restores the action that was in force a moment ago, which holds no handler.
            unsafe { sigaction(signal, &previous) }?;
        }
    }
    Ok(())
}

/// From now on SIGTERM and SIGINT write their number as one byte to `pipe` instead of ending the process, so that it
/// can tidy up first. The pipe should not block; it stays open for good.
pub fn notify_on_termination(pipe: OwnedFd) {
    NOTIFY.store(pipe.as_raw_fd(), Ordering::SeqCst);
    std::mem::forget(pipe);
}

/// From now on SIGTERM and SIGINT end the process at once again. What is in the pipe by then is the caller's to read.
pub fn stop_notifying() {
    NOTIFY.store(-1, Ordering::SeqCst);
}

/// From now on SIGTERM and SIGINT do nothing: for a process that ends when another one does.
///
/// # Errors
/// The kernel refused.
#[allow(unsafe_code, reason = "sigaction has no safe form")]
pub fn ignore_termination() -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in TERMINATION {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Gives SIGPIPE its default action, which Rust's runtime changed to "ignore" before `main`: an ignored signal would
/// stay ignored in the program after `execve`.
///
/// # Errors
/// The kernel refused.
#[allow(unsafe_code, reason = "sigaction has no safe form")]
pub fn default_sigpipe() -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    unsafe { sigaction(Signal::SIGPIPE, &action) }?;
    Ok(())
}

#[allow(unsafe_code, reason = "a signal handler may only make raw calls")]
extern "C" fn on_termination(signal: libc::c_int) {
    let pipe = NOTIFY.load(Ordering::SeqCst);
    if pipe < 0 {
        // SAFETY: _exit is async-signal-safe and does not return.
        unsafe { libc::_exit(128 + signal) }
    }
    let errno = nix::errno::Errno::last_raw();
    let number = signal as u8;
    // SAFETY: write is async-signal-safe; the byte outlives the call and the descriptor is never closed.
    let _ = unsafe { libc::write(pipe, (&raw const number).cast(), 1) };
    nix::errno::Errno::set_raw(errno);
}
