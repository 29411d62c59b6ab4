//! Programs under test: a clean environment, a deadline, and everything that was seen when an expectation fails.
//!
//! Nothing of this process' environment reaches a program, so a test gives the same result on every machine. A failure
//! names the variables that were set and not their values, which are often the secrets of the test.

mod finished;
mod running;

use std::env::{current_exe, var_os};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::report::test_child;

pub use finished::Finished;
pub use running::Running;

/// How long a program may run unless the test says otherwise: far more than any needs, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A program, and everything that it is given.
#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    arg0: Option<OsString>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    /// Entries beyond `env` that may repeat a name or hold no `=`
    raw_entries: Vec<OsString>,
    /// What the test child does before it becomes the program
    before: Vec<OsString>,
    stdin: Vec<u8>,
    cwd: Option<PathBuf>,
    deadline: Duration,
}

/// The launcher of this build: `ENVLATCH_BIN` if set, else `envlatch` in the folder that cargo built this test into.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn launcher() -> Program {
    let test = current_exe().expect("a running test has a path");
    let folder = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/<profile>/deps");
    launcher_at(folder.join("envlatch"))
}

/// The launcher at `path`, which is `env!("CARGO_BIN_EXE_envlatch")` in the tests of that package; `ENVLATCH_BIN` wins,
/// so that the same tests can check the static binary.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn launcher_at(path: impl AsRef<Path>) -> Program {
    let path = var_os("ENVLATCH_BIN").map_or_else(|| path.as_ref().to_owned(), PathBuf::from);
    assert!(
        path.is_file(),
        "no launcher at {}: build it, or set ENVLATCH_BIN",
        path.display()
    );
    Program::new(path)
}

// === impl Program ===

impl Program {
    /// The program at `path`, with no arguments, no environment, empty standard input and a minute to end.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            arg0: None,
            args: Vec::new(),
            env: Vec::new(),
            raw_entries: Vec::new(),
            before: Vec::new(),
            stdin: Vec::new(),
            cwd: None,
            deadline: DEADLINE,
        }
    }

    /// The file that is started.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name that it is called by, when that is not its path.
    #[must_use]
    pub fn arg0(mut self, name: impl AsRef<OsStr>) -> Self {
        self.arg0 = Some(name.as_ref().to_owned());
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        self.args.extend(args);
        self
    }

    /// Sets one variable; the last value given for a name counts.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref();
        self.env.retain(|(other, _)| other != name);
        self.env.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Adds an entry to the environment as it stands: it may repeat a name or hold no `=`.
    #[must_use]
    pub fn raw_entry(mut self, entry: impl AsRef<OsStr>) -> Self {
        self.raw_entries.push(entry.as_ref().to_owned());
        self
    }

    /// Starts it with `signal` ignored, as `nohup` does.
    #[must_use]
    pub fn ignoring(self, signal: Signal) -> Self {
        self.before("ignore", signal)
    }

    /// Starts it with `signal` blocked.
    #[must_use]
    pub fn blocking(self, signal: Signal) -> Self {
        self.before("block", signal)
    }

    /// What standard input holds.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The working directory; else that of the test.
    #[must_use]
    pub fn cwd(mut self, path: impl AsRef<Path>) -> Self {
        self.cwd = Some(path.as_ref().to_owned());
        self
    }

    /// How long it may run.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts it and waits for its end.
    ///
    /// # Panics
    /// When it cannot be started or does not end within the deadline; it is killed then.
    #[track_caller]
    #[must_use]
    pub fn run(&self) -> Finished {
        self.spawn().wait_within(self.deadline)
    }

    /// Starts it, in a process group of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    #[must_use]
    pub fn spawn(&self) -> Running {
        Running::start(self)
    }

    fn before(mut self, action: &str, signal: Signal) -> Self {
        self.before.push(action.into());
        self.before.push((signal as i32).to_string().into());
        self
    }

    /// The command that starts it: itself, or the test child that becomes it.
    fn command(&self) -> Command {
        let mut command = if self.before.is_empty() && self.raw_entries.is_empty() {
            let mut command = Command::new(&self.path);
            command.arg0(self.arg0.as_deref().unwrap_or(self.path.as_os_str()));
            command
        } else {
            self.command_by_child()
        };
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
    }

    fn command_by_child(&self) -> Command {
        let mut command = Command::new(test_child());
        command.args(&self.before);
        if !self.raw_entries.is_empty() {
            let pairs = self.env.iter().map(|(name, value)| {
                let mut entry = name.clone();
                entry.push("=");
                entry.push(value);
                entry
            });
            for entry in pairs.chain(self.raw_entries.iter().cloned()) {
                command.arg("entry").arg(entry);
            }
        }
        let arg0 = self.arg0.as_deref().unwrap_or(self.path.as_os_str());
        command.arg("exec").arg(&self.path).arg(arg0);
        command
    }
}

/// The command line and the names in the environment.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        for arg in &self.args {
            write!(f, " {arg:?}")?;
        }
        write!(f, "\n  environment:")?;
        for (name, _) in &self.env {
            write!(f, " {}", name.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Instant;

    use super::*;
    use crate::TempDir;

    const SHORT: Duration = Duration::from_millis(500);

    fn failure(test: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("this must fail");
        *panic
            .downcast::<String>()
            .expect("the message is formatted")
    }

    #[test]
    fn a_program_gets_exactly_what_it_is_given() {
        let folder = TempDir::new().unwrap();
        let finished = Program::new(test_child())
            .arg0("other-name")
            .args(["report", "--", "a b"])
            .env("B", "1")
            .env("A", "x")
            .env("A", "y=z")
            .cwd(folder.path())
            .run();
        let report = finished.success().silent().report();
        assert_eq!(report.argv, ["other-name", "report", "--", "a b"]);
        assert_eq!(report.names(), ["A", "B"]);
        assert_eq!(report.env("A").unwrap(), "y=z");
        assert_eq!(report.cwd, folder.path().canonicalize().unwrap());
        assert_eq!(report.fds, [0, 1, 2]);
        assert!(
            report.ignored.is_empty() && report.blocked.is_empty(),
            "{report:?}"
        );
    }

    #[test]
    fn signals_and_raw_entries_are_set_before_it_starts() {
        let finished = Program::new(test_child())
            .args(["report"])
            .env("A", "1")
            .raw_entry("A=2")
            .raw_entry("no equals sign")
            .ignoring(Signal::SIGPIPE)
            .blocking(Signal::SIGUSR1)
            .run();
        let report = finished.success().report();
        assert_eq!(report.environ, ["A=1", "A=2", "no equals sign"]);
        assert_eq!(report.ignored, [Signal::SIGPIPE as i32]);
        assert_eq!(report.blocked, [Signal::SIGUSR1 as i32]);
    }

    #[test]
    fn the_end_is_told_apart() {
        let child = |words: &[&str]| Program::new(test_child()).args(words).run();
        child(&["exit", "77"]).expect_code(77);
        child(&["kill", "9"]).expect_signal(Signal::SIGKILL);
        let finished = child(&["unknown", "word"]);
        finished.expect_code(99).stderr_has("unknown: ");
    }

    #[test]
    fn the_deadline_kills_with_all_descendants() {
        let started = Instant::now();
        let program = Program::new("/bin/sh")
            .args(["-c", "echo $$; sleep 600 & echo $!; echo ready; wait"])
            .env("PATH", "/usr/bin:/bin")
            .env("SECRET", "the value");
        let mut running = program.spawn();
        running.wait_for_stdout("ready");
        let message = failure(|| drop(running.wait_within(SHORT)));
        assert!(started.elapsed() < 2 * DEADLINE);
        assert!(message.contains("environment: PATH SECRET"), "{message}");
        assert!(!message.contains("the value"), "{message}");
        let (_, output) = message
            .split_once("--- standard output\n")
            .expect("outputs are shown");
        let pids: Vec<_> = output
            .lines()
            .map_while(|line| line.parse::<u32>().ok())
            .collect();
        assert_eq!(pids.len(), 2, "{message}");
        crate::eventually("both processes are gone", DEADLINE, || {
            let state =
                |pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let gone = |&pid: &u32| state(pid).is_empty() || state(pid).contains(") Z ");
            pids.iter().all(gone).then_some(())
        });
    }

    #[test]
    fn a_left_over_process_that_holds_the_output_fails_the_test() {
        let mut running = Program::new(test_child())
            .args(["orphan", "600000"])
            .spawn();
        crate::eventually("it has ended", DEADLINE, || {
            (!running.is_running()).then_some(())
        });
        let message = failure(|| drop(running.wait_within(SHORT)));
        assert!(message.contains("holds its output open"), "{message}");
    }

    #[test]
    fn a_run_lasts_as_long_as_its_deadline() {
        let program = Program::new(test_child()).args(["sleep", "600000"]);
        let message = failure(|| drop(program.deadline(SHORT).run()));
        assert!(message.contains("not ended within 500ms"), "{message}");
    }

    #[test]
    fn failed_expectations_fail() {
        let ended = |words: &[&str]| Program::new(test_child()).args(words).run();
        let cases: [(&str, &dyn Fn()); 5] = [
            ("code", &|| drop(ended(&["exit", "1"]).success().output())),
            ("signal", &|| {
                drop(ended(&["exit", "1"]).expect_signal(Signal::SIGHUP).output())
            }),
            ("stderr", &|| drop(ended(&[]).stderr_has("x").output())),
            ("silent", &|| {
                drop(ended(&["unknown", "word"]).silent().output())
            }),
            ("report", &|| drop(ended(&["print", "x"]).report())),
        ];
        for (name, test) in cases {
            assert!(failure(test).contains("--- standard error"), "{name}");
        }
    }
}
