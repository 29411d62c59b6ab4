//! From a change to the signal: a volume is replaced, and the clock runs until the program has answered.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use envlatch_bench_report::Report;
use envlatch_test_support::CsiVolume;

use crate::process::Launcher;

/// An ordinary volume.
const FILES: usize = 20;

/// Rotations before the first that counts.
const WARM_UP: usize = 10;

/// A volume whose content changes, and the launcher that watches it.
pub(crate) struct Rotation {
    /// Dropped first, or it would miss its volume
    pub(crate) launcher: Launcher,
    volume: CsiVolume,
    number: usize,
}

// === impl Rotation ===

impl Rotation {
    pub(crate) fn start(launcher: &Path) -> Result<Self> {
        let volume = CsiVolume::new(&[]);
        let mut rotation = Self {
            launcher: {
                let path = volume.path().to_str().context("temporary paths are text")?;
                Launcher::start(launcher, &["--dir", path], &[])?
            },
            volume,
            number: 0,
        };
        for _ in 0..WARM_UP {
            rotation.turn()?;
        }
        Ok(rotation)
    }

    /// One rotation: the time from before the new generation is written to the program's answer, so it contains the
    /// writing of the files and the way of the answer.
    pub(crate) fn turn(&mut self) -> Result<Duration> {
        self.number += 1;
        let files: Vec<_> = (0..FILES)
            .map(|index| {
                (
                    format!("SECRET_{index:02}"),
                    format!("value-{}-{index}", self.number),
                )
            })
            .collect();
        let files: Vec<_> = files
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let start = Instant::now();
        self.volume.swap(&files);
        self.launcher.wait_for_answer()?;
        Ok(start.elapsed())
    }
}

/// Times `rounds` rotations.
pub(crate) fn measure(launcher: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    eprintln!("bench stay: {rounds} rotations of {FILES} files");
    let mut rotation = Rotation::start(launcher)?;
    let times: Result<Vec<_>> = (0..rounds).map(|_| rotation.turn()).collect();
    let mut times = times?;
    times.sort_unstable();
    let quantile = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    report.section("from a change to the signal, written and answered");
    report.figure("change_to_signal_ms", "ms, median", quantile(50), 3);
    report.figure(
        "change_to_signal_p99_ms",
        "ms, 99th percentile",
        quantile(99),
        3,
    );
    Ok(())
}
