//! `envlatch exec`: a command with the environment of the program, for probes and `kubectl exec`.
//!
//! The environment is read from `/proc/PID/environ`, so nothing is stored and nobody listens. The kernel lets only those
//! read it who could trace the program (`proc_pid_environ(5)`), which is the guard: the same user, in the same container
//! or one that shares its process namespace.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;

use envlatch_secret::Secret;

use crate::command;
use crate::environment::Environment;
use crate::prepared::Prepared;
use crate::problem::{Exit, Problem, Problems};
use crate::stay::{NAME, SHORT_NAME, STARTING};

/// The first process of a container, which is the program after a plain start.
const FIRST: u32 = 1;

/// What a pod that shares its process namespace has as its first process.
const PAUSE: &str = "pause";

/// Becomes the command. `pid` is the program, or the launcher that stays beside it.
///
/// # Errors
/// Why that environment cannot be had, or the command not be started.
pub(crate) fn exec(pid: Option<u32>, argv: &[OsString]) -> Result<ExitCode, Problems> {
    let program = program(pid)?;
    must_have_started(program)?;
    let environment = environment(program)?;
    let Some(word) = argv.first() else {
        let text = "no command to start; write it after the options: envlatch exec [--pid N] -- COMMAND [ARG]...";
        return Err(Problem::new(Exit::Usage, text).into());
    };
    let path = command::find(word, environment.get("PATH"))?;
    let variables = environment
        .iter()
        .map(|(name, value)| Secret::new([name, b"=".as_slice(), value].concat()));
    let variables: Vec<_> = variables.collect();
    Err(Prepared::new(&path, argv, variables.iter().map(Secret::expose))?.exec())
}

/// The program's process id: that of a launcher that stays leads to its program's.
fn program(pid: Option<u32>) -> Result<u32, Problem> {
    let given = pid.unwrap_or(FIRST);
    let name = name(given)?;
    if pid.is_none() && name == PAUSE {
        let text = "process 1 is the pod's pause container, because its containers share their processes; give the \
                    program's process id with --pid";
        return Err(Problem::new(Exit::Missing, text));
    }
    let beside = name.strip_prefix(NAME).or(name.strip_prefix(SHORT_NAME));
    let program = beside.and_then(|pid| pid.parse().ok()).unwrap_or(given);
    if self::name(program)?.as_bytes() == STARTING.to_bytes() {
        let text = "is a launcher that has not started its program yet; ask again later";
        return Err(Problem::new(
            Exit::Missing,
            format!("process {program} {text}"),
        ));
    }
    Ok(program)
}

/// What a process calls itself, which everyone may read.
fn name(pid: u32) -> Result<String, Problem> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).map_err(|error| {
        let remedy = "give the program's process id with --pid, and mount /proc";
        Problem::new(
            Exit::Missing,
            format!("process {pid}: {}; {remedy}", absent(&error)),
        )
    })?;
    Ok(name.trim_end().to_owned())
}

/// Refuses a launcher on its way to becoming the program: its environment has references and its own settings.
fn must_have_started(pid: u32) -> Result<(), Problem> {
    let file = |process: &str| {
        let file = std::fs::metadata(format!("/proc/{process}/exe")).ok()?;
        Some((file.dev(), file.ino()))
    };
    // Who may not look is told so when the environment is read.
    match file(&pid.to_string()) {
        Some(executed) if Some(executed) == file("self") => {
            let text = "a launcher that has not started its program yet; ask again later";
            Err(Problem::new(
                Exit::Missing,
                format!("process {pid} is {text}"),
            ))
        }
        _ => Ok(()),
    }
}

fn absent(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is none".to_owned(),
        _ => error.to_string(),
    }
}

fn environment(pid: u32) -> Result<Environment, Problem> {
    let block =
        std::fs::read(format!("/proc/{pid}/environ")).map_err(|error| refusal(pid, &error))?;
    parse(block).ok_or_else(|| {
        let text = "its environment is empty, or it has overwritten it, as programs do that change their title; give the \
                    process id of another process of the program with --pid";
        Problem::new(Exit::Missing, format!("process {pid}: {text}"))
    })
}

fn refusal(pid: u32, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let text = "its environment may not be read; it belongs to another user, or protects itself: start this as the \
                        program's user, in its container";
            Problem::new(Exit::Denied, format!("process {pid}: {text}"))
        }
        _ => Problem::new(Exit::Missing, format!("process {pid}: {}", absent(error))),
    }
}

/// The variables of a block; `None` when it holds anything else than variables.
fn parse(block: Vec<u8>) -> Option<Environment> {
    let block = Secret::new(block);
    let entries = block
        .expose()
        .split(|byte| *byte == 0)
        .filter(|entry| !entry.is_empty());
    let variable = |entry: &[u8]| {
        let equals = entry.iter().position(|byte| *byte == b'=')?;
        let bytes = |part: &[u8]| OsString::from_vec(part.to_vec());
        Some((bytes(&entry[..equals]), bytes(&entry[equals + 1..])))
    };
    let variables: Vec<_> = entries.clone().filter_map(variable).collect();
    (!variables.is_empty()).then(|| variables.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_are_an_environment() {
        let count =
            |block: &[u8]| parse(block.to_vec()).map(|environment| environment.iter().count());
        for (block, expected) in [
            (b"A=1\0B=2\0".as_slice(), Some(2)),
            (b"A=1\0no equals\0", Some(1)),
            (b"", None),
            (b"\0\0\0\0", None),
            (b"nginx: master process\0\0\0", None),
        ] {
            assert_eq!(count(block), expected, "{block:?}");
        }
    }
}
