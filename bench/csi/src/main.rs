//! `scripts/bench csi`: the node plugin. Two parts call it as kubelet does, as a process of this machine, with a real Vault and a
//! real API server; the others are pods of a real cluster. Nothing here asserts; it prints figures beside goals.

mod cold;
mod crowd;
mod floor;
mod goals;
mod idle;
mod kills;
mod node;
mod outage;
mod parts;
mod pods;
mod publish;
mod statistics;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use envlatch_bench_report::Report;

use goals::GOALS;
use parts::{Part, Settings};

fn main() -> ExitCode {
    match run(&Settings::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench csi: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<()> {
    let mut report = Report::new(GOALS);
    for part in &settings.only {
        eprintln!("bench csi: {part}");
        match part {
            Part::Publish => publish::measure(settings, &mut report)?,
            Part::Idle => idle::measure(settings, &mut report)?,
            Part::Kills => kills::measure(settings, &mut report)?,
            Part::Image => pods::image(&mut report),
            Part::Crowd => crowd::measure(settings, &mut report)?,
            Part::Cold => cold::measure(&mut report)?,
            Part::Outage => outage::measure(settings, &mut report),
        }
    }
    let text = report.text(settings.json);
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot print")
}
