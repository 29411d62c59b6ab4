//! `scripts/bench stay` and `scripts/bench soak`: what a launcher costs that stays beside its program.
//!
//! The program beside it is this very file, which answers each SIGUSR1 with a line. Nothing here asserts; it prints figures
//! beside goals.

mod idle;
mod process;
mod rotate;
mod soak;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use envlatch_bench_report::{Goal, Report};
use nix::sys::signal::{SigSet, Signal};

/// Goals by the name of the figure.
const GOALS: &[(&str, Goal)] = &[
    ("rss_file_kib", Goal::AtMost(4096.0)),
    ("rss_vault_kib", Goal::AtMost(8192.0)),
    ("idle_wakeups_per_min", Goal::AtMost(0.0)),
    ("change_to_signal_ms", Goal::AtMost(5.0)),
    ("change_to_signal_p99_ms", Goal::AtMost(50.0)),
    ("soak_rss_slope_kib", Goal::AtMost(64.0)),
    ("soak_descriptors_more", Goal::AtMost(0.0)),
    ("soak_processes_more", Goal::AtMost(0.0)),
];

fn main() -> ExitCode {
    match run(&arguments().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench stay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        let number = Arg::new(name).long(name).default_value(default).help(help);
        number.value_parser(value_parser!(u32).range(1..))
    };
    let launcher = Arg::new("launcher")
        .long("launcher")
        .required(true)
        .value_parser(value_parser!(PathBuf));
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print one JSON object");
    Command::new("scripts/bench")
        .subcommand_required(true)
        .subcommand(Command::new("answer").hide(true))
        .subcommand(
            Command::new("stay")
                .args([launcher.clone(), json.clone()])
                .arg(number("rounds", "1000", "How many rotations are timed"))
                .arg(number(
                    "seconds",
                    "60",
                    "How long it is watched while nothing happens",
                )),
        )
        .subcommand(Command::new("soak").args([launcher, json]).arg(number(
            "minutes",
            "30",
            "How long rotations go on",
        )))
}

fn run(matches: &ArgMatches) -> Result<()> {
    let mut report = Report::new(GOALS);
    let (name, matches) = matches.subcommand().expect("one is required");
    if name == "answer" {
        return answer();
    }
    let launcher = matches.get_one::<PathBuf>("launcher").expect("required");
    let number = |name: &str| *matches.get_one::<u32>(name).expect("has a default");
    if name == "stay" {
        rotate::measure(launcher, number("rounds") as usize, &mut report)?;
        idle::measure(
            launcher,
            Duration::from_secs(number("seconds").into()),
            &mut report,
        )?;
    } else {
        soak::measure(
            launcher,
            Duration::from_secs(60 * u64::from(number("minutes"))),
            &mut report,
        )?;
    }
    io::stdout()
        .write_all(report.text(matches.get_flag("json")).as_bytes())
        .context("cannot print")
}

/// The program beside the launcher: a line when it is ready, and one for each signal.
fn answer() -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGUSR1);
    signals.thread_block()?;
    let mut out = io::stdout();
    loop {
        out.write_all(b"\n")?;
        out.flush()?;
        signals.wait()?;
    }
}
