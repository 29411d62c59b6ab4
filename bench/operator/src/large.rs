//! A large cluster: 10,000 bundles of 200 accounts in 100 namespaces, each with a path and 1 KiB of its own, refreshed every five
//! minutes. `large` takes about seven minutes, `backlog` about ten.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use envlatch_bench_report::Report;

use crate::bed::{Bed, Shape};
use crate::measure::{new_p99, until, until_ready, until_turns};
use crate::process::Operator;

/// How often each bundle is refreshed; after a restart the first refresh of each comes within this time.
const REFRESH: Duration = Duration::from_secs(300);
/// How many bundles are made while the others are refreshed, one a second.
const NEW: usize = 200;

pub(crate) fn shape(bundles: usize) -> Shape {
    Shape {
        bundles,
        paths: bundles,
        namespaces: 100,
        accounts: 200,
        bytes: 1024,
        refresh: "5m",
    }
}

pub(crate) fn measure(report: &mut Report, program: &Path, bed: &Bed) -> Result<()> {
    let bundles = bed.shape.bundles;
    report.section(&format!(
        "{bundles} bundles of 200 accounts in 100 namespaces, each with its own path"
    ));
    let first = from_nothing(report, program, bed)?;
    let writes = bed.writes();
    let began = Instant::now();
    let operator = Operator::start(program, bed)?;
    let verified = until_turns(&operator, bundles, began)?;
    report.figure(
        "restart_verified_s",
        "seconds from a restart to all verified",
        verified,
        2,
    );
    let writes = bed.writes().after(&writes);
    report.figure("restart_writes", "writes meanwhile", writes, 0);
    let reads = bed.asked("secret/data/");
    let p99 = new_p99(bed, bundles, NEW, Duration::from_secs(1))?;
    report.figure(
        "new_p99_s",
        "p99 of a new bundle during refreshes, s",
        p99,
        3,
    );
    let reads = bed.asked("secret/data/").saturating_sub(reads + NEW);
    report.figure("new_refreshes", "refreshes meanwhile", reads as f64, 0);
    let peak = first.max(operator.memory("VmHWM")?);
    report.figure("rss_peak_kib", "its largest memory, KiB", peak, 0);
    report.figure(
        "rss_steady_kib",
        "its memory, KiB",
        operator.memory("VmRSS")?,
        0,
    );
    report.figure(
        "rss_anon_kib",
        "of it not of the program's file, KiB",
        operator.memory("RssAnon")?,
        0,
    );
    Ok(())
}

/// Returns the largest memory of the first process.
fn from_nothing(report: &mut Report, program: &Path, bed: &Bed) -> Result<f64> {
    let began = Instant::now();
    let operator = Operator::start(program, bed)?;
    let ready = until_ready(&operator, bed, began)?;
    report.figure("ready_10k_s", "seconds from nothing to all ready", ready, 2);
    report.figure(
        "cpu_10k_s",
        "its seconds of processor time",
        operator.cpu()?,
        2,
    );
    let logins = bed.asked("auth/kubernetes/login") as f64 / bed.shape.accounts as f64;
    report.figure("logins_per_identity", "logins of each account", logins, 2);
    operator.memory("VmHWM")
}

/// New bundles after the server was away for so long that every refresh is due at once.
pub(crate) fn backlog(report: &mut Report, program: &Path, bed: &Bed) -> Result<()> {
    let bundles = bed.shape.bundles;
    report.section(&format!(
        "{bundles} bundles whose refreshes are all due at once"
    ));
    let operator = Operator::start(program, bed)?;
    until_ready(&operator, bed, Instant::now())?;
    bed.vault.freeze();
    sleep(REFRESH * 12 / 10);
    let failing = |operator: &Operator| operator.metric("envlatch_operator_bundles_failing", "");
    let stale = failing(&operator).unwrap_or_default();
    report.figure(
        "backlog_stale",
        "bundles that wait for the server",
        stale,
        0,
    );
    bed.vault.thaw();
    let away = |operator: &Operator| operator.metric("envlatch_operator_stores_unavailable", "");
    let noticed = until(&operator, Instant::now(), |operator| {
        away(operator) == Some(0.0)
    })?;
    report.figure(
        "backlog_noticed_s",
        "seconds until the server is used again",
        noticed,
        1,
    );
    let began = Instant::now();
    let p99 = new_p99(bed, bundles, 20, Duration::ZERO)?;
    report.figure(
        "backlog_new_p99_s",
        "p99 of a new bundle meanwhile, seconds",
        p99,
        3,
    );
    let drained = until(&operator, began, |operator| failing(operator) == Some(0.0))?;
    report.figure(
        "backlog_drained_s",
        "seconds until all are fresh",
        drained,
        1,
    );
    Ok(())
}
