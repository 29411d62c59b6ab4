//! A program that has ended, and what can be expected of it.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Program;
use crate::report::{Report, inheritable_fds};

/// A program that has ended.
pub struct Finished {
    /// Exit code, unless a signal ended it
    pub code: Option<i32>,
    /// Number of the signal that ended it
    pub signal: Option<i32>,
    /// Everything that it wrote to standard output
    pub stdout: Vec<u8>,
    /// Everything that it wrote to standard error
    pub stderr: Vec<u8>,
    /// From its start to its end
    pub elapsed: Duration,
    pub(super) program: Program,
}

// === impl Finished ===

impl Finished {
    /// Expects this exit code.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert!(
            self.code == Some(code),
            "expected exit code {code}: {self:?}"
        );
        self
    }

    /// Expects exit code 0.
    #[track_caller]
    pub fn success(&self) -> &Self {
        self.expect_code(0)
    }

    /// Expects to have been ended by this signal.
    #[track_caller]
    pub fn expect_signal(&self, signal: Signal) -> &Self {
        assert!(
            self.signal == Some(signal as i32),
            "expected {signal}: {self:?}"
        );
        self
    }

    /// Expects exactly this on standard output.
    #[track_caller]
    pub fn stdout_is(&self, expected: impl AsRef<[u8]>) -> &Self {
        let expected = expected.as_ref();
        assert!(
            self.stdout == expected,
            "expected {:?} on standard output: {self:?}",
            String::from_utf8_lossy(expected)
        );
        self
    }

    /// Expects `text` somewhere in standard output.
    #[track_caller]
    pub fn stdout_has(&self, text: &str) -> &Self {
        assert!(
            self.stdout_text().contains(text),
            "expected {text:?} in standard output: {self:?}"
        );
        self
    }

    /// Expects `text` somewhere in standard error.
    #[track_caller]
    pub fn stderr_has(&self, text: &str) -> &Self {
        assert!(
            self.stderr_text().contains(text),
            "expected {text:?} in standard error: {self:?}"
        );
        self
    }

    /// Expects `text` nowhere in standard error.
    #[track_caller]
    pub fn stderr_lacks(&self, text: &str) -> &Self {
        assert!(
            !self.stderr_text().contains(text),
            "expected no {text:?} in standard error: {self:?}"
        );
        self
    }

    /// Expects nothing on standard error.
    #[track_caller]
    pub fn silent(&self) -> &Self {
        assert!(
            self.stderr.is_empty(),
            "expected an empty standard error: {self:?}"
        );
        self
    }

    /// What the test child reported on standard output. Its open descriptors are without those that whoever started the
    /// tests handed to them, and they to every program: the program under test did not open those.
    ///
    /// # Panics
    /// When standard output is anything but one report.
    #[track_caller]
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report =
            Report::parse(&self.stdout).unwrap_or_else(|| panic!("expected a report: {self:?}"));
        let inherited = inheritable_fds();
        report.fds.retain(|fd| !inherited.contains(fd));
        report
    }

    /// Standard output as text; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Both outputs, one after the other.
    #[must_use]
    pub fn output(&self) -> Vec<u8> {
        [self.stdout.as_slice(), &self.stderr].concat()
    }
}

/// Everything that was seen, for the message of a failed expectation.
impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => writeln!(f, "exit code {code}")?,
            (None, signal) => writeln!(f, "signal {signal:?}")?,
        }
        describe(f, &self.program, &self.stdout, &self.stderr)
    }
}

pub(super) fn describe(
    f: &mut fmt::Formatter<'_>,
    program: &Program,
    stdout: &[u8],
    stderr: &[u8],
) -> fmt::Result {
    let (stdout, stderr) = (
        String::from_utf8_lossy(stdout),
        String::from_utf8_lossy(stderr),
    );
    write!(
        f,
        "{program}\n--- standard output\n{stdout}\n--- standard error\n{stderr}"
    )
}
