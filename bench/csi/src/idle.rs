//! What a full node costs while nothing changes: kubelet asks for every volume again each minute or so.

use std::time::Duration;

use anyhow::Result;
use envlatch_bench_report::Report;
use envlatch_test_support::{cpu_seconds, memory_kib};

use crate::node::{Account, Bed, block_on, publish};
use crate::parts::Settings;
use crate::publish::five_paths;

const VOLUMES: usize = 110;
/// How often each volume is republished.
const SWEEPS: usize = 20;
/// Republishes of one volume in an hour: kubelet's interval is a minute and some jitter; 75 s and 83 s were observed.
const AN_HOUR: f64 = 3600.0 / 75.0;

pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    let bed = Bed::new(&settings.plugin)?;
    let account = bed.account("app");
    five_paths(&bed);
    let plugin = bed.start()?;
    let processes = [plugin.worker(), plugin.mounter];
    let cpu = || processes.map(cpu_seconds).iter().sum::<f64>();
    let rss = || -> u64 {
        let each = processes.map(|process| memory_kib(process, "VmRSS"));
        each.iter().sum()
    };
    let (mounting, calls, seconds) = block_on(republish(&bed, &account, cpu))??;
    report.section("110 volumes while nothing changes");
    report.figure(
        "cpu_first_mount_us",
        "µs of processor time of a first mount",
        mounting / VOLUMES as f64 * 1e6,
        0,
    );
    report.figure(
        "idle_republish_calls",
        "requests to the server",
        calls as f64,
        0,
    );
    let republishes = (VOLUMES * SWEEPS) as f64;
    report.figure(
        "cpu_republish_us",
        "µs of processor time of a republish",
        seconds / republishes * 1e6,
        0,
    );
    let hour = seconds / SWEEPS as f64 * AN_HOUR;
    report.figure("cpu_idle_hour_ms", "ms of an hour, scaled", hour * 1e3, 0);
    report.figure(
        "rss_republished_kib",
        "memory after it, KiB",
        rss() as f64,
        0,
    );
    Ok(())
}

/// Seconds of processor time of the first mounts; requests and seconds that all republishes took.
async fn republish(
    bed: &Bed,
    account: &Account,
    cpu: impl Fn() -> f64,
) -> Result<(f64, usize, f64)> {
    let call = bed.connect().await;
    let volumes: Vec<_> = (0..VOLUMES).map(|_| bed.node.volume("secrets")).collect();
    let before = cpu();
    for volume in &volumes {
        publish(&call, volume, account).await?;
    }
    let mounting = cpu() - before;
    // Not in the time in which what was read is handed out again.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let (asked, used) = (bed.asked(""), cpu());
    for _ in 0..SWEEPS {
        for volume in &volumes {
            publish(&call, volume, account).await?;
        }
    }
    Ok((mounting, bed.asked("") - asked, cpu() - used))
}
