//! `scripts/bench operator`: the sync operator against a real API server and a real Vault. Nothing here asserts; it prints figures
//! beside goals.

mod bed;
mod large;
mod measure;
mod process;
mod small;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use envlatch_bench_report::{Goal, Report};

use bed::Bed;

/// Goals by the name of the figure.
const GOALS: &[(&str, Goal)] = &[
    ("image_bytes", Goal::AtMost(8.0 * 1024.0 * 1024.0)),
    ("ready_1k_s", Goal::AtMost(15.0)),
    ("cpu_1k_s", Goal::AtMost(2.5)),
    ("rss_1k_kib", Goal::AtMost(30.0 * 1024.0)),
    ("restore_altered_ms", Goal::AtMost(200.0)),
    ("restore_deleted_ms", Goal::AtMost(100.0)),
    ("idle_writes", Goal::AtMost(0.0)),
    ("logins_per_identity", Goal::AtMost(1.0)),
    ("restart_verified_s", Goal::AtMost(60.0)),
    ("restart_writes", Goal::AtMost(0.0)),
    ("new_p99_s", Goal::AtMost(2.0)),
    ("rss_peak_kib", Goal::AtMost(96.0 * 1024.0)),
];

/// What can be measured by itself, with the time that it takes on a machine of two cores.
const PARTS: [&str; 4] = ["size", "small", "large", "backlog"];

fn main() -> ExitCode {
    match run(&arguments().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        let flag = Arg::new(name).long(name).action(ArgAction::SetTrue);
        flag.help(help)
    };
    let number = Arg::new("bundles")
        .long("bundles")
        .default_value("10000")
        .value_parser(value_parser!(u32).range(1000..))
        .help("How many bundles large and backlog have");
    Command::new("scripts/bench")
        .arg(
            Arg::new("operator")
                .long("operator")
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("only")
                .long("only")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .value_parser(PossibleValuesParser::new(PARTS))
                .help("The parts to measure; all by default"),
        )
        .arg(flag("json", "Print one JSON object"))
        .arg(flag("large", "Also with 10,000 bundles"))
        .arg(number)
}

fn run(matches: &ArgMatches) -> Result<()> {
    let program = matches.get_one::<PathBuf>("operator").context("required")?;
    let bundles = *matches.get_one::<u32>("bundles").context("has a default")? as usize;
    let mut report = Report::new(GOALS);
    for part in parts(matches) {
        let began = Instant::now();
        eprintln!("bench operator: {part}");
        match part {
            "size" => size(&mut report, program)?,
            "small" => small::measure(&mut report, program, &Bed::new(small::SHAPE)?)?,
            "large" => large::measure(&mut report, program, &Bed::new(large::shape(bundles))?)?,
            _ => large::backlog(&mut report, program, &Bed::new(large::shape(bundles))?)?,
        }
        eprintln!(
            "bench operator: {part} took {} s",
            began.elapsed().as_secs()
        );
    }
    let text = report.text(matches.get_flag("json"));
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot print")
}

fn parts(matches: &ArgMatches) -> Vec<&str> {
    let given = matches.get_many::<String>("only");
    match given {
        Some(given) => given.map(String::as_str).collect(),
        None if matches.get_flag("large") => PARTS[..3].to_vec(),
        None => PARTS[..2].to_vec(),
    }
}

/// The image is the program and nothing else.
fn size(report: &mut Report, program: &Path) -> Result<()> {
    report.section("the program");
    let bytes = fs::metadata(program)?.len();
    report.figure(
        "image_bytes",
        "bytes of the one file in the image",
        bytes as f64,
        0,
    );
    Ok(())
}
