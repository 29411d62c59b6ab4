//! What a signal does to a process that called into `envlatch_sys::signals`. Every case runs in a process of its own:
//! this very binary, started again with the name of the case.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use envlatch_sys::signals;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

type Case = (&'static str, fn(), fn(ExitStatus) -> bool);

const CASES: [Case; 6] = [
    (
        "termination exits with 128 and the signal",
        terminate,
        |status| status.code() == Some(143),
    ),
    (
        "interruption exits with 128 and the signal",
        interrupt,
        |status| status.code() == Some(130),
    ),
    ("an ignored signal stays ignored", ignore, |status| {
        status.success()
    }),
    ("termination can be ignored", disregard, |status| {
        status.success()
    }),
    ("a pipe is told instead", notify, |status| status.success()),
    ("SIGPIPE ends a process again", break_a_pipe, |status| {
        status.signal() == Some(13)
    }),
];

fn main() {
    let wanted = std::env::args_os().nth(1);
    if let Some((_, child, _)) = CASES
        .iter()
        .find(|(name, ..)| wanted.as_deref() == Some(name.as_ref()))
    {
        return child();
    }
    for (name, _, passed) in CASES {
        let this = std::env::current_exe().unwrap();
        let status = Command::new(this).arg(name).status().unwrap();
        assert!(passed(status), "{name}: the process ended with {status}");
        println!("signals: {name} ... ok");
    }
}

fn terminate() {
    signals::exit_on_termination().unwrap();
    raise(Signal::SIGTERM).unwrap();
}

fn interrupt() {
    signals::exit_on_termination().unwrap();
    raise(Signal::SIGINT).unwrap();
}

#[allow(
    unsafe_code,
    reason = "sets the stage: what a parent like nohup leaves behind"
)]
fn ignore() {
    let ignored = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_IGN runs no code.
    unsafe { sigaction(Signal::SIGINT, &ignored) }.unwrap();
    signals::exit_on_termination().unwrap();
    raise(Signal::SIGINT).unwrap();
}

fn disregard() {
    signals::ignore_termination().unwrap();
    raise(Signal::SIGTERM).unwrap();
    raise(Signal::SIGINT).unwrap();
}

fn notify() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    signals::exit_on_termination().unwrap();
    signals::notify_on_termination(writer.into());
    raise(Signal::SIGTERM).unwrap();
    let mut byte = [0];
    reader.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [15]);
}

fn break_a_pipe() {
    signals::default_sigpipe().unwrap();
    raise(Signal::SIGPIPE).unwrap();
}
