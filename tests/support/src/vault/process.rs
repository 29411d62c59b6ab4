//! A server's process: its configuration, its start and its certain end.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::READY;
use super::config::{Listener, Storage, binary, configure};
use crate::lasting::{self, spawn};

/// How many last lines of a log a failure shows.
const TAIL: usize = 25;

/// A running server.
pub(super) struct Process {
    pub(super) address: String,
    child: Mutex<Child>,
    log: PathBuf,
}

// === impl Process ===

impl Process {
    /// Starts a server with its files in `folder` and waits until it answers.
    pub(super) fn start(
        folder: &Path,
        host: &str,
        storage: &Storage<'_>,
        listener: &Listener<'_>,
    ) -> Self {
        // The port is free when it is chosen, not when it is bound: somebody may be faster.
        let attempt = |_| Self::try_start(folder, host, storage, listener);
        (0..3).find_map(attempt).unwrap_or_else(|| {
            let log = fs::read_to_string(folder.join("vault.log")).unwrap_or_default();
            panic!("Vault did not start in three attempts:\n{log}")
        })
    }

    fn try_start(
        folder: &Path,
        host: &str,
        storage: &Storage<'_>,
        listener: &Listener<'_>,
    ) -> Option<Self> {
        let (file, address) = configure(folder, host, storage, listener);
        let path = folder.join("vault.log");
        let log = File::create(&path).expect("cannot write the server's log");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(binary())
            .arg("server")
            .arg("-config")
            .arg(file)
            .env_clear()
            .env("HOME", folder)
            .env("PATH", "/usr/bin:/bin")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor is free"))
            .stderr(log);
        let process = Self {
            address,
            child: Mutex::new(spawn(command)),
            log: path,
        };
        process.wait_until_it_answers().then_some(process)
    }

    /// False when it ended instead.
    fn wait_until_it_answers(&self) -> bool {
        let end = Instant::now() + READY;
        // Written once its listeners are bound, so no other process on the port can be mistaken for it.
        while !self.log().contains("Vault server started!") {
            let mut child = self.child.lock().expect("nobody panics with it");
            if child.try_wait().expect("the child is ours").is_some() {
                return false;
            }
            drop(child);
            assert!(
                Instant::now() < end,
                "Vault does not answer\n{}",
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(20));
        }
        true
    }

    pub(super) fn pid(&self) -> Pid {
        lasting::pid(&self.child.lock().expect("nobody panics with it"))
    }

    pub(super) fn stop(&self) {
        let mut child = self.child.lock().expect("nobody panics with it");
        // Fails when it has ended already, which is what is wanted.
        drop(child.kill());
        child.wait().expect("the child is ours");
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of the log, with a heading.
    pub(super) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        format!("--- log of Vault at {}\n{}", self.address, tail.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
