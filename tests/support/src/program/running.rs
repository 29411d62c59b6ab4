//! A program that was started.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::{Finished, Program};
use crate::lasting;

const POLL: Duration = Duration::from_millis(2);

/// A program that was started. It and its process group are killed when this is dropped.
pub struct Running {
    child: Child,
    program: Program,
    started: Instant,
    stdout: Output,
    stderr: Output,
}

/// One output, collected by a thread while the program runs.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

// === impl Running ===

impl Running {
    #[track_caller]
    pub(super) fn start(program: &Program) -> Self {
        let started = Instant::now();
        let mut child = program
            .command()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let mut input = child.stdin.take().expect("standard input is piped");
        let bytes = program.stdin.clone();
        // A program may end without reading, which closes the pipe: that is its right, and no failure of the test.
        thread::spawn(move || drop(input.write_all(&bytes)));
        Self {
            stdout: Output::collect(child.stdout.take().expect("standard output is piped")),
            stderr: Output::collect(child.stderr.take().expect("standard error is piped")),
            child,
            program: program.clone(),
            started,
        }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        lasting::pid(&self.child)
    }

    /// Sends a signal to it alone.
    ///
    /// # Panics
    /// When it has ended and was waited for.
    #[track_caller]
    pub fn kill(&self, signal: Signal) {
        kill(self.pid(), signal)
            .unwrap_or_else(|error| panic!("cannot send {signal}: {error}: {self:?}"));
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout_so_far(&self) -> Vec<u8> {
        self.stdout.so_far()
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr_so_far(&self) -> Vec<u8> {
        self.stderr.so_far()
    }

    /// Waits until it has written `text` to standard output.
    ///
    /// # Panics
    /// When it ends, or its deadline passes, before.
    #[track_caller]
    pub fn wait_for_stdout(&mut self, text: &str) {
        self.wait_for(text, |running| running.stdout.so_far());
    }

    /// Waits until it has written `text` to standard error.
    ///
    /// # Panics
    /// When it ends, or its deadline passes, before.
    #[track_caller]
    pub fn wait_for_stderr(&mut self, text: &str) {
        self.wait_for(text, |running| running.stderr.so_far());
    }

    #[track_caller]
    fn wait_for(&mut self, text: &str, output: impl Fn(&Self) -> Vec<u8>) {
        let end = self.started + self.program.deadline;
        loop {
            // Asked before the output is looked at: what it wrote before its end is seen then.
            let ended = !self.is_running();
            if ended {
                self.settle(end);
            }
            if String::from_utf8_lossy(&output(self)).contains(text) {
                return;
            }
            assert!(!ended && Instant::now() < end, "no {text:?} came: {self:?}");
            thread::sleep(POLL);
        }
    }

    /// Waits for its end, at most `deadline` from now.
    ///
    /// # Panics
    /// When the deadline passes before it has ended and its outputs are closed; it and its group are killed then.
    #[track_caller]
    #[must_use]
    pub fn wait_within(mut self, deadline: Duration) -> Finished {
        let end = Instant::now() + deadline;
        let status = loop {
            if let Some(status) = self.try_wait() {
                break status;
            }
            assert!(
                Instant::now() < end,
                "not ended within {deadline:?}: {self:?}"
            );
            thread::sleep(POLL);
        };
        let elapsed = self.started.elapsed();
        assert!(
            self.settle(end),
            "it has ended, but a process that it left behind holds its output open: {self:?}"
        );
        Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout_so_far(),
            stderr: self.stderr_so_far(),
            elapsed,
            program: self.program.clone(),
        }
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("the child is ours to wait for")
    }

    /// Waits until both outputs are closed; false when they are not by `end`. At least a second is given, because a
    /// program may end at the last moment.
    fn settle(&self, end: Instant) -> bool {
        let end = end.max(Instant::now() + Duration::from_secs(1));
        while !(self.stdout.reader.is_finished() && self.stderr.reader.is_finished()) {
            if Instant::now() > end {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

/// Everything that was seen so far, for the message of a failed expectation.
impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::finished::describe(
            f,
            &self.program,
            &self.stdout_so_far(),
            &self.stderr_so_far(),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when there is nothing left, which is what is wanted.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

// === impl Output ===

impl Output {
    fn collect(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                sink.extend_from_slice(&chunk[..count]);
            }
        });
        Self { bytes, reader }
    }

    fn so_far(&self) -> Vec<u8> {
        self.bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
