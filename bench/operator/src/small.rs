//! The rivals' shape: 1,000 bundles over 20 paths. It takes about two minutes.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use envlatch_bench_report::Report;

use crate::bed::{Bed, Shape};
use crate::measure::{altered, deleted, turns, until_ready};
use crate::process::Operator;

pub(crate) const SHAPE: Shape = Shape {
    bundles: 1000,
    paths: 20,
    namespaces: 1,
    accounts: 1,
    bytes: 32,
    refresh: "1m",
};
/// How long nothing changes. Every bundle is refreshed meanwhile.
const IDLE: Duration = Duration::from_secs(75);

pub(crate) fn measure(report: &mut Report, program: &Path, bed: &Bed) -> Result<()> {
    report.section("1,000 bundles over 20 paths");
    let writes = bed.writes();
    let began = Instant::now();
    let operator = Operator::start(program, bed)?;
    let ready = until_ready(&operator, bed, began)?;
    let bundles = bed.shape.bundles as f64;
    let turns = turns(&operator).unwrap_or_default() / bundles;
    let writes = bed.writes().after(&writes) / bundles;
    let (cpu, memory) = (operator.cpu()?, operator.memory("VmHWM")?);
    report.figure("ready_1k_s", "seconds from nothing to all ready", ready, 2);
    report.figure("cpu_1k_s", "its seconds of processor time", cpu, 2);
    report.figure("rss_1k_kib", "its largest memory, KiB", memory, 0);
    report.figure("turns_per_bundle_1k", "turns of each", turns, 2);
    // Its Secret, its status and an event; and what is made once.
    report.figure(
        "writes_per_bundle_1k",
        "writes for each at the API server",
        writes,
        2,
    );
    let logins = bed.asked("auth/kubernetes/login") as f64;
    report.figure("logins_1k", "logins of its one account", logins, 0);
    let reads = bed.asked("secret/data/") as f64;
    report.figure("reads_1k", "reads at the server", reads, 0);
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
    idle(report, bed, &operator)
}

fn idle(report: &mut Report, bed: &Bed, operator: &Operator) -> Result<()> {
    // What was altered last may still be reported.
    sleep(Duration::from_secs(3));
    let (writes, reads) = (bed.writes(), bed.asked("secret/data/"));
    let cpu = operator.cpu()?;
    sleep(IDLE);
    let idle = bed.writes().after(&writes);
    report.figure("idle_writes", "writes while nothing changes", idle, 0);
    let reads = (bed.asked("secret/data/") - reads) as f64;
    report.figure("idle_reads", "reads at the server meanwhile", reads, 0);
    report.figure(
        "idle_cpu_s",
        "processor time meanwhile, seconds",
        operator.cpu()? - cpu,
        2,
    );
    report.figure(
        "rss_idle_1k_kib",
        "its memory then, KiB",
        operator.memory("VmRSS")?,
        0,
    );
    report.figure(
        "rss_anon_1k_kib",
        "of it not of the program's file, KiB",
        operator.memory("RssAnon")?,
        0,
    );
    Ok(())
}
