//! How long a first mount takes: a volume of five secrets at five paths, of a pod whose account nobody has logged in yet, beside a
//! client that only logs in and reads.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use envlatch_bench_report::Report;
use envlatch_csi_tests::Call;
use serde_json::json;

use crate::floor::Floor;
use crate::node::{Account, Bed, block_on, publish};
use crate::parts::Settings;
use crate::statistics::{median, quantile};

/// Rounds before those that count: connections are opened, and the class is read.
const WARM_UP: usize = 5;
/// The plugin revokes what it had for a volume that is gone; that is no part of the next mount.
const PAUSE: Duration = Duration::from_millis(30);

/// Names of the paths, below `secret/`.
pub(crate) fn paths() -> Vec<String> {
    (0..5).map(|index| format!("path-{index}")).collect()
}

/// A bundle of one key of each of the paths, which are written.
pub(crate) fn five_paths(bed: &Bed) {
    let entry = |path: &String| (path.clone(), format!("{path}#value"));
    for path in paths() {
        bed.vault.put_kv2(&path, &json!({"value": path}));
    }
    bed.bundle(&paths().iter().map(entry).collect::<Vec<_>>());
}

pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    let bed = Bed::new(&settings.plugin)?;
    // Made first, because the API server keeps the node's namespace for the accounts.
    let accounts: Vec<Account> = (0..settings.rounds + WARM_UP)
        .map(|round| bed.account(&format!("app-{round}")))
        .collect();
    five_paths(&bed);
    let _plugin = bed.start()?;
    let floor = Floor::new(&bed.vault)?;
    let resident = bed.account("resident");
    let mut times = (Vec::new(), Vec::new());
    block_on(async {
        let call = bed.connect().await;
        // Some other pod of the class is on the node, so the API server was asked for it already.
        publish(&call, &bed.node.volume("secrets"), &resident).await?;
        for (round, account) in accounts.iter().enumerate() {
            let (least, ours) = one(&bed, &call, &floor, account, round).await?;
            if round >= WARM_UP {
                times.0.push(least);
                times.1.push(ours);
            }
        }
        Ok::<_, anyhow::Error>(())
    })??;
    say(report, &times.0, &times.1);
    Ok(())
}

/// Milliseconds of the floor and of the plugin, in turns which first.
async fn one(
    bed: &Bed,
    call: &Call,
    floor: &Floor,
    account: &Account,
    round: usize,
) -> Result<(f64, f64)> {
    let volume = bed.node.volume("secrets");
    let paths = paths();
    let fetch = async || {
        let begin = Instant::now();
        floor.fetch(&account.jwt, &paths).await?;
        Ok::<_, anyhow::Error>(begin.elapsed().as_secs_f64() * 1e3)
    };
    let mount = async || {
        let begin = Instant::now();
        publish(call, &volume, account).await?;
        Ok::<_, anyhow::Error>(begin.elapsed().as_secs_f64() * 1e3)
    };
    let (least, ours) = if round.is_multiple_of(2) {
        let least = fetch().await?;
        (least, mount().await?)
    } else {
        let ours = mount().await?;
        (fetch().await?, ours)
    };
    call.unpublish(&volume)
        .await
        .context("NodeUnpublishVolume failed")?;
    tokio::time::sleep(PAUSE).await;
    Ok((least, ours))
}

fn say(report: &mut Report, least: &[f64], ours: &[f64]) {
    report.section("a first mount of 5 secrets at 5 paths, with its login");
    for (name, what, value) in [
        (
            "publish_floor_p50_ms",
            "ms of login and reads alone, p50",
            median(least),
        ),
        (
            "publish_floor_p99_ms",
            "the same, p99",
            quantile(least, 0.99),
        ),
        ("publish_p50_ms", "ms of the mount, p50", median(ours)),
        ("publish_p99_ms", "the same, p99", quantile(ours, 0.99)),
        (
            "publish_over_floor_ms",
            "ms beyond the floor, p50",
            median(ours) - median(least),
        ),
    ] {
        report.figure(name, what, value, 2);
    }
}
