//! A launcher that stays beside the answering program, and what the kernel says of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};

/// A running launcher. It and its program end when this is dropped.
pub(crate) struct Launcher {
    child: Child,
    answers: BufReader<ChildStdout>,
}

// === impl Launcher ===

impl Launcher {
    /// Starts one that signals its program on a change, and waits until that is ready.
    pub(crate) fn start(
        launcher: &Path,
        options: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let this = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(launcher)
            .args(["run", "--on-change", "signal:USR1", "--splay", "0s"])
            .args(options)
            .arg("--")
            .arg(this)
            .arg("answer")
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", launcher.display()))?;
        let answers = BufReader::new(child.stdout.take().context("standard output is piped")?);
        let mut started = Self { child, answers };
        started.wait_for_answer()?;
        Ok(started)
    }

    /// Waits for the program's next line.
    pub(crate) fn wait_for_answer(&mut self) -> Result<()> {
        let mut line = String::new();
        let length = self.answers.read_line(&mut line).context("cannot read")?;
        anyhow::ensure!(length > 0, "the launcher has ended");
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        resident_kib(self.pid())
    }

    /// How often any of its threads has woken up so far: each time it gave up the processor by itself.
    pub(crate) fn wakeups(&self) -> Result<u64> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            sum += number(&status, "voluntary_ctxt_switches:")?;
        }
        Ok(sum)
    }

    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// Process ids of its children: the program, and workers under way.
    pub(crate) fn children(&self) -> Result<Vec<u32>> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        children
            .split_whitespace()
            .map(|pid| pid.parse().context("the kernel lists numbers"))
            .collect()
    }
}

/// Resident memory of a process in KiB.
pub(crate) fn resident_kib(pid: u32) -> Result<u64> {
    number(
        &fs::read_to_string(format!("/proc/{pid}/status"))?,
        "VmRSS:",
    )
}

fn number(status: &str, field: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("no {field} in the status"))
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // The program ends with a launcher that is killed.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
