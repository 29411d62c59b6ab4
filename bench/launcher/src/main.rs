//! `scripts/bench launcher`: how long the launcher takes to start a program, against floors measured in the same run.
//!
//! A floor does the least that the same work takes: a C program for files, bare HTTP requests for a server. What counts
//! is the ratio, because the absolute figures are the machine's. Nothing here asserts; it prints figures beside goals.

mod files;
mod measure;
mod report;
mod servers;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use envlatch_bench_report::Report;

use report::GOALS;

fn main() -> ExitCode {
    match run(&arguments().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench launcher: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Command {
    let program = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .required(true)
            .value_parser(value_parser!(PathBuf))
    };
    Command::new("scripts/bench launcher")
        .arg(program("full").help("The launcher that is measured"))
        .arg(program("files").help("The files-only launcher, whose size is printed"))
        .arg(
            Arg::new("rounds")
                .long("rounds")
                .default_value("300")
                .value_parser(value_parser!(u32).range(1..))
                .help("How often each program is started; slow cases less often"),
        )
        .arg(
            Arg::new("only")
                .long("only")
                .value_parser(["files", "vault"])
                .help("Measure only one mode"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print one JSON object"),
        )
}

fn run(matches: &ArgMatches) -> Result<()> {
    let path = |name| matches.get_one::<PathBuf>(name).expect("required");
    let rounds = *matches.get_one::<u32>("rounds").expect("has a default") as usize;
    let only = matches.get_one::<String>("only").map(String::as_str);
    let mut report = Report::new(GOALS);
    if only != Some("vault") {
        files::measure(path("full"), rounds, &mut report)?;
    }
    if only != Some("files") {
        servers::measure(path("full"), rounds, &mut report)?;
    }
    sizes(path("full"), path("files"), &mut report)?;
    std::io::stdout()
        .write_all(report.text(matches.get_flag("json")).as_bytes())
        .context("cannot print")
}

fn sizes(full: &Path, files: &Path, report: &mut Report) -> Result<()> {
    report.section("size of the binaries");
    for (name, path) in [("size_full_bytes", full), ("size_files_bytes", files)] {
        let size = path
            .metadata()
            .with_context(|| path.display().to_string())?
            .len();
        report.figure(name, "bytes", size as f64, 0);
    }
    Ok(())
}

/// An ordinary container's environment.
fn environment() -> Vec<(String, String)> {
    [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("HOME", "/root"),
        ("HOSTNAME", "shop-7d9c5b8f6d-x2x7q"),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
        ("TERM", "xterm"),
        ("APP_ENV", "production"),
        ("APP_LOG_LEVEL", "info"),
        ("KUBERNETES_PORT", "tcp://10.96.0.1:443"),
        ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
