//! What it costs while nothing happens: memory, and how often it wakes up.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use envlatch_bench_report::Report;
use envlatch_test_support::Vault;
use serde_json::json;

use crate::process::{Launcher, resident_kib};
use crate::rotate::Rotation;

/// After which everything of a start has settled.
const SETTLED: Duration = Duration::from_millis(500);

/// References to the server.
const PATHS: usize = 20;

/// Watches a launcher with files and one with a server.
pub(crate) fn measure(launcher: &Path, time: Duration, report: &mut Report) -> Result<()> {
    report.section("while nothing happens");
    files(launcher, time, report)?;
    server(launcher, report)
}

fn files(launcher: &Path, time: Duration, report: &mut Report) -> Result<()> {
    eprintln!("bench stay: {} seconds without a change", time.as_secs());
    let rotation = Rotation::start(launcher)?;
    sleep(SETTLED);
    let before = rotation.launcher.wakeups()?;
    sleep(time);
    let wakeups = rotation.launcher.wakeups()? - before;
    let resident = rotation.launcher.resident_kib()?;
    report.figure(
        "rss_file_kib",
        "KiB resident, with files",
        resident as f64,
        0,
    );
    let per_minute = wakeups as f64 * 60.0 / time.as_secs_f64();
    report.figure(
        "idle_wakeups_per_min",
        "wake-ups per minute, with files",
        per_minute,
        1,
    );
    Ok(())
}

/// With a server there is a worker at each poll; what both have together is a figure of its own.
fn server(launcher: &Path, report: &mut Report) -> Result<()> {
    let vault = Vault::dev();
    vault.policy(
        "bench",
        "path \"secret/data/bench/*\" { capabilities = [\"read\"] }",
    );
    let token = vault.token(&["bench"], "1h");
    let mut variables = vec![
        ("VAULT_ADDR".to_owned(), vault.address().to_owned()),
        ("VAULT_TOKEN".to_owned(), token),
    ];
    for index in 0..PATHS {
        vault.put_kv2(
            &format!("bench/{index}"),
            &json!({ "value": format!("value-{index}") }),
        );
        variables.push((
            format!("V_{index}"),
            format!("vault:secret/data/bench/{index}#value"),
        ));
    }
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let running = Launcher::start(launcher, &["--poll-interval", "1s"], &variables)?;
    let program = *running
        .children()?
        .first()
        .context("the program is a child")?;
    let end = Instant::now() + Duration::from_secs(5);
    let mut peak = 0;
    while Instant::now() < end {
        let workers = running
            .children()?
            .into_iter()
            .filter(|child| *child != program);
        // A worker may end between two looks.
        let workers: u64 = workers.filter_map(|worker| resident_kib(worker).ok()).sum();
        peak = peak.max(running.resident_kib()? + workers);
        sleep(Duration::from_micros(500));
    }
    let resident = running.resident_kib()?;
    report.figure(
        "rss_vault_kib",
        "KiB resident, with a server",
        resident as f64,
        0,
    );
    report.figure(
        "rss_vault_poll_kib",
        "KiB with its worker during a poll",
        peak as f64,
        0,
    );
    Ok(())
}
