//! The launcher: secrets from mounted files or a Vault-compatible server become the environment of a program, and this
//! process becomes that program.
//!
//! A start has these steps, and any of them can end it with every problem found so far ([`problem`]): settings, references
//! and files; the server, only if something needs it; the merge by precedence; the kernel's limits; `execve`. A program
//! never starts with a part of what it was promised.

#![cfg_attr(
    not(feature = "vault"),
    allow(
        dead_code,
        reason = "a files-only build understands the settings of the server, and has no use for them"
    )
)]

mod beneath;
mod bulk;
mod check;
mod cli;
mod command;
mod dir;
pub mod environment;
#[cfg(feature = "stay")]
mod exec;
mod file;
#[cfg(feature = "stay")]
mod holdings;
mod install;
mod limits;
mod logging;
mod merge;
mod name;
#[cfg(not(feature = "vault"))]
mod no_server;
mod options;
mod plan;
mod prepared;
pub mod problem;
mod refused;
mod removed;
mod request;
mod resolve;
#[cfg(feature = "vault")]
mod server;
mod settings;
mod start;
#[cfg(feature = "stay")]
mod stay;
mod termination_log;
mod trim;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use cli::{Verb, Words};
use environment::Environment;
use problem::{Exit, Problem, Problems};
use settings::{Output, Settings};

/// Does what the command line asks. Returns only when no program was started.
pub fn run(argv: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    std::panic::set_hook(Box::new(end_with_bug));
    if let Err(error) = envlatch_sys::signals::exit_on_termination() {
        return fail(
            &Problem::new(Exit::Bug, format!("cannot handle signals: {error}")).into(),
            None,
        );
    }
    match cli::parse(argv) {
        Err(text) => fail(&Problem::new(Exit::Usage, text).into(), None),
        Ok(Verb::Nothing) => ExitCode::SUCCESS,
        Ok(Verb::Print(text)) => print(&text),
        #[cfg(feature = "stay")]
        Ok(Verb::Exec { pid, argv }) => {
            exec::exec(pid, &argv).unwrap_or_else(|problems| fail(&problems, None))
        }
        Ok(Verb::Install(dest)) => install::install(&dest).map_or_else(
            |problem| fail(&problem.into(), None),
            |()| ExitCode::SUCCESS,
        ),
        Ok(Verb::Run(words)) => {
            with_output(&words, environment, |words| start::run(words, environment))
        }
        Ok(Verb::Check { words, json }) => with_output(&words, environment, |words| {
            check::check(words, environment, json).map(|table| print(&table))
        }),
    }
}

/// A panic is a bug. Its place is said, and not its words, which may hold anything.
fn end_with_bug(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(String::new, |place| {
        format!(" at {}:{}", place.file(), place.line())
    });
    let text = format!("bug{place}; nothing was started; please report it");
    std::process::exit(fail_with(&Problem::new(Exit::Bug, text).into(), None).into());
}

/// Sets up where messages go, then does `verb`.
fn with_output(
    words: &Words,
    environment: &Environment,
    verb: impl FnOnce(&Words) -> Result<ExitCode, Problems>,
) -> ExitCode {
    let (output, mut problems) = Output::new(words, environment);
    logging::init(output.level, output.format);
    let outcome = if problems.is_empty() {
        verb(words)
    } else {
        Settings::new(words, environment).map(|_| ExitCode::FAILURE)
    };
    match outcome {
        Ok(code) if problems.is_empty() => return code,
        Ok(_) => {}
        Err(more) => problems.extend(more),
    }
    fail(&problems, Some(&output))
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe (`envlatch --help | head -1`) has read enough.
        Err(_closed) => ExitCode::FAILURE,
    }
}

fn fail(problems: &Problems, output: Option<&Output>) -> ExitCode {
    ExitCode::from(fail_with(problems, output))
}

/// Says why nothing was started, and gives the exit code.
fn fail_with(problems: &Problems, output: Option<&Output>) -> u8 {
    let format = output.map_or(logging::Format::Text, |output| output.format);
    let line = logging::line(
        format,
        logging::Level::Error,
        &problems.message(),
        problems.details(),
    );
    logging::print(&line);
    if let Some(output) = output {
        termination_log::write(&output.termination_log, &line);
    }
    problems.exit() as u8
}
