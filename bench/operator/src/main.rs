//! `scripts/bench operator`: the sync operator against a real API server and a real Vault. Nothing here asserts; it prints figures
//! beside goals.

mod bed;
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, Command, value_parser};
use envlatch_bench_report::{Goal, Report};
use serde_json::{Value, json};

use bed::{Bed, Shape};
use process::Operator;

/// Goals by the name of the figure.
const GOALS: &[(&str, Goal)] = &[
    ("ready_1k_s", Goal::AtMost(15.0)),
    ("cpu_1k_s", Goal::AtMost(2.5)),
    ("rss_1k_kib", Goal::AtMost(30.0 * 1024.0)),
    ("restore_altered_ms", Goal::AtMost(200.0)),
    ("restore_deleted_ms", Goal::AtMost(100.0)),
    ("logins_per_identity", Goal::AtMost(1.0)),
    ("idle_writes", Goal::AtMost(0.0)),
    ("restart_verified_s", Goal::AtMost(60.0)),
    ("rss_peak_kib", Goal::AtMost(96.0 * 1024.0)),
    ("binary_bytes", Goal::AtMost(8.0 * 1024.0 * 1024.0)),
];
/// The rivals' shape, and a large cluster.
const SMALL: Shape = Shape {
    bundles: 1000,
    paths: 20,
    namespaces: 1,
    accounts: 1,
    bytes: 32,
};
const LARGE: Shape = Shape {
    bundles: 10_000,
    paths: 10_000,
    namespaces: 100,
    accounts: 200,
    bytes: 1024,
};
const BUNDLES: &str = "/apis/envlatch.io/v1alpha1/secretbundles";
const SECRETS: &str = "/api/v1/secrets?labelSelector=envlatch.io/synced%3Dtrue";
/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(600);
/// How often something is altered and deleted.
const ROUNDS: usize = 21;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let path = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .required(true)
            .value_parser(value_parser!(PathBuf))
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    let matches = Command::new("scripts/bench")
        .arg(path("operator"))
        .arg(flag("json", "Print one JSON object"))
        .arg(flag("large", "Also with 10,000 bundles"))
        .get_matches();
    let program = matches.get_one::<PathBuf>("operator").context("required")?;
    let mut report = Report::new(GOALS);
    let bytes = fs::metadata(program)?.len();
    report.section("the program");
    report.figure(
        "binary_bytes",
        "bytes of the static program",
        bytes as f64,
        0,
    );
    small(&mut report, program, &Bed::new(SMALL)?)?;
    if matches.get_flag("large") {
        large(&mut report, program, &Bed::new(LARGE)?)?;
    }
    let text = report.text(matches.get_flag("json"));
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot print")
}

fn small(report: &mut Report, program: &Path, bed: &Bed) -> Result<()> {
    report.section("1,000 bundles over 20 paths");
    let began = Instant::now();
    let operator = Operator::start(program, bed)?;
    report.figure(
        "ready_1k_s",
        "seconds from nothing to all ready",
        until_ready(&operator, bed, began)?,
        2,
    );
    report.figure(
        "cpu_1k_s",
        "its seconds of processor time",
        operator.cpu()?,
        2,
    );
    report.figure(
        "rss_1k_kib",
        "its largest memory, KiB",
        operator.memory("VmHWM")?,
        0,
    );
    report.figure(
        "logins_per_identity",
        "logins",
        bed.asked("auth/kubernetes/login") as f64,
        0,
    );
    report.figure(
        "reads_1k",
        "reads at the server",
        bed.asked("secret/data/") as f64,
        0,
    );
    report.figure(
        "restore_altered_ms",
        "ms until an altered Secret is right",
        altered(bed)?,
        1,
    );
    report.figure(
        "restore_deleted_ms",
        "ms until a deleted Secret is back",
        deleted(bed)?,
        1,
    );
    report.figure(
        "idle_writes",
        "writes in 20 s while nothing changes",
        idle_writes(bed),
        0,
    );
    report.figure(
        "rss_idle_1k_kib",
        "its memory then, KiB",
        operator.memory("VmRSS")?,
        0,
    );
    Ok(())
}

fn large(report: &mut Report, program: &Path, bed: &Bed) -> Result<()> {
    report.section("10,000 bundles of 200 accounts in 100 namespaces, each with its own path");
    let began = Instant::now();
    let operator = Operator::start(program, bed)?;
    report.figure(
        "ready_10k_s",
        "seconds from nothing to all ready",
        until_ready(&operator, bed, began)?,
        2,
    );
    report.figure(
        "cpu_10k_s",
        "its seconds of processor time",
        operator.cpu()?,
        2,
    );
    let logins = bed.asked("auth/kubernetes/login") as f64 / bed.shape.accounts as f64;
    report.figure(
        "logins_per_identity_10k",
        "logins of each account",
        logins,
        2,
    );
    drop(operator);
    let began = Instant::now();
    let operator = Operator::start(program, bed)?;
    let verified = until_turns(&operator, bed.shape.bundles, began)?;
    report.figure(
        "restart_verified_s",
        "seconds from a restart to all verified",
        verified,
        2,
    );
    report.figure(
        "new_p99_s",
        "p99 of a new bundle meanwhile, seconds",
        new_p99(bed)?,
        3,
    );
    report.figure(
        "rss_peak_kib",
        "its largest memory, KiB",
        operator.memory("VmHWM")?,
        0,
    );
    report.figure(
        "rss_steady_kib",
        "its memory, KiB",
        operator.memory("VmRSS")?,
        0,
    );
    Ok(())
}

/// Seconds since `began` when every bundle is ready. The operator's own count tells when it is worth to look.
fn until_ready(operator: &Operator, bed: &Bed, began: Instant) -> Result<f64> {
    until_turns(operator, bed.shape.bundles, began)?;
    loop {
        let seconds = began.elapsed().as_secs_f64();
        let bundles = bed.list(BUNDLES);
        if bundles.iter().filter(|bundle| is_ready(bundle)).count() == bed.shape.bundles {
            return Ok(seconds);
        }
        if began.elapsed() > DEADLINE {
            bail!("not all bundles became ready");
        }
        sleep(Duration::from_millis(100));
    }
}

fn until_turns(operator: &Operator, count: usize, began: Instant) -> Result<f64> {
    loop {
        let seconds = began.elapsed().as_secs_f64();
        let turns = operator.metric(
            "envlatch_operator_turn_duration_seconds_count",
            "reason=\"Synced\"",
        );
        if turns.is_some_and(|turns| turns >= count as f64) {
            return Ok(seconds);
        }
        if began.elapsed() > DEADLINE {
            bail!("not every bundle had its turn");
        }
        sleep(Duration::from_millis(50));
    }
}

fn is_ready(bundle: &Value) -> bool {
    let conditions = bundle["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// The median of the times until something altered is as it was.
fn altered(bed: &Bed) -> Result<f64> {
    rounds(|n| {
        let path = format!("/api/v1/namespaces/{}/secrets/b-{n}", bed.namespace(n));
        let wanted = bed.kubernetes.api("GET", &path, &Value::Null)["data"].clone();
        bed.kubernetes
            .api("PATCH", &path, &json!({"data": {"key": "YmFk"}}));
        since(|| bed.kubernetes.send("GET", &path, &Value::Null).1["data"] == wanted)
    })
}

fn deleted(bed: &Bed) -> Result<f64> {
    rounds(|n| {
        let path = format!("/api/v1/namespaces/{}/secrets/b-{n}", bed.namespace(n));
        bed.kubernetes.api("DELETE", &path, &Value::Null);
        since(|| bed.kubernetes.send("GET", &path, &Value::Null).0 == 200)
    })
}

fn rounds(mut round: impl FnMut(usize) -> Result<f64>) -> Result<f64> {
    let mut times = (0..ROUNDS)
        .map(|n| round(n * 7))
        .collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2] * 1000.0)
}

/// Seconds until something holds.
fn since(mut holds: impl FnMut() -> bool) -> Result<f64> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > DEADLINE {
            bail!("it never came");
        }
        sleep(Duration::from_millis(2));
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Objects of ours that were written within 20 seconds.
fn idle_writes(bed: &Bed) -> f64 {
    let versions = || -> BTreeMap<String, Value> {
        let objects = [bed.list(BUNDLES), bed.list(SECRETS)].concat();
        let metadata = objects.iter().map(|object| &object["metadata"]);
        metadata
            .map(|one| (one["uid"].to_string(), one["resourceVersion"].clone()))
            .collect()
    };
    // What was altered last may still be reported.
    sleep(Duration::from_secs(2));
    let before = versions();
    sleep(Duration::from_secs(20));
    let after = versions();
    after
        .iter()
        .filter(|(uid, version)| before.get(*uid) != Some(version))
        .count() as f64
}

/// The 99th percentile of the time until a new bundle has its Secret.
fn new_p99(bed: &Bed) -> Result<f64> {
    let mut times = Vec::new();
    for n in 0..100 {
        let n = bed.shape.bundles + n;
        bed.bundle(n);
        let path = format!("/api/v1/namespaces/{}/secrets/b-{n}", bed.namespace(n));
        times.push(since(|| {
            bed.kubernetes.send("GET", &path, &Value::Null).0 == 200
        })?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[98])
}
