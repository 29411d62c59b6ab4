//! The operator as a process, and what the kernel says that it costs.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, anyhow};
use envlatch_test_support::{cpu_seconds, free_port, memory_kib};

use crate::bed::Bed;

/// The operator; it is killed with the value.
pub(crate) struct Operator {
    child: Mutex<Child>,
    id: u32,
    port: u16,
}

// === impl Operator ===

impl Operator {
    pub(crate) fn start(program: &Path, bed: &Bed) -> Result<Self> {
        let port = free_port("127.0.0.1");
        let child = Command::new(program)
            .args([
                "--all-namespaces",
                "--own-namespace",
                "envlatch",
                "--instance",
                "bench",
                // On a busy machine a Lease can be lost, and the measurement with it.
                "--lease-duration",
                "60s",
            ])
            .args([
                "--metrics-address",
                &format!("127.0.0.1:{port}"),
                "--log-level",
                "error",
            ])
            .env_clear()
            .envs(bed.kubernetes.service_environment())
            // As in the image.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the operator")?;
        let id = child.id();
        Ok(Self {
            child: Mutex::new(child),
            id,
            port,
        })
    }

    /// Whether it still runs.
    pub(crate) fn runs(&self) -> Result<bool> {
        let mut child = self
            .child
            .lock()
            .map_err(|_poisoned| anyhow!("a panic elsewhere"))?;
        Ok(child.try_wait()?.is_none())
    }

    /// The sum of a metric over its labels that contain `label`; nothing while it does not listen yet.
    pub(crate) fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let mut answer = ureq::get(format!("http://127.0.0.1:{}/metrics", self.port))
            .call()
            .ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        let lines = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        Some(
            lines
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum(),
        )
    }

    /// Seconds of processor time so far.
    pub(crate) fn cpu(&self) -> Result<f64> {
        Ok(cpu_seconds(self.pid()?))
    }

    /// `VmRSS`, `VmHWM` or `RssAnon`, in KiB.
    pub(crate) fn memory(&self, field: &str) -> Result<f64> {
        Ok(memory_kib(self.pid()?, field) as f64)
    }

    fn pid(&self) -> Result<i32> {
        i32::try_from(self.id).context("process ids fit")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // Fails when it has ended already, which is what is wanted.
        if let Ok(mut child) = self.child.lock() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
