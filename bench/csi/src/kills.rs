//! `kill -9` of either process at a random moment of a publish, a refresh or an unpublish, with a real Vault. Whatever was
//! killed when, a volume is not there or whole, and kubelet's next call finds a way on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use envlatch_bench_report::Report;
use envlatch_csi_tests::volume::mounts;
use envlatch_csi_tests::{Call, VolumeOf};
use serde_json::json;

use crate::node::{Account, Bed, block_on, publish};
use crate::parts::Settings;

/// The secret, whose keys always have the same value.
const PATH: &str = "trio";
const KEYS: [&str; 3] = ["a", "b", "c"];
/// From before the call arrives to after its answer.
const LONGEST: Duration = Duration::from_millis(25);
/// For the watch that tells of the annotation.
const NOTICE: Duration = Duration::from_millis(30);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Publish,
    Refresh,
    Unpublish,
}

const OPERATIONS: [Operation; 3] = [Operation::Publish, Operation::Refresh, Operation::Unpublish];

/// What was found after the kills.
#[derive(Default)]
struct Found {
    /// Volumes that were there, and whole
    whole: usize,
    empty_or_mixed: usize,
    stacked_or_leaked: usize,
}

/// What a volume is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Absent,
    Whole(usize),
    Broken,
}

pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    let bed = Bed::new(&settings.plugin)?;
    let account = bed.account("app");
    let entry = |key: &str| (key.to_owned(), format!("{PATH}#{key}"));
    put(&bed, 0);
    bed.bundle(&KEYS.map(entry));
    let mut found = Found::default();
    for kill in 0..settings.kills {
        round(&bed, &account, kill, &mut found).with_context(|| format!("kill {kill}"))?;
    }
    report.section("kills at random, with a real Vault");
    report.figure("kills", "kills", settings.kills as f64, 0);
    report.figure(
        "kills_whole",
        "volumes that were there after them, and whole",
        found.whole as f64,
        0,
    );
    report.figure(
        "kills_empty_or_mixed",
        "volumes that were empty or mixed",
        found.empty_or_mixed as f64,
        0,
    );
    report.figure(
        "kills_stacked_or_leaked",
        "mounts on mounts, or left behind",
        found.stacked_or_leaked as f64,
        0,
    );
    Ok(())
}

fn put(bed: &Bed, version: usize) {
    let value = version.to_string();
    let secret = json!({"a": value, "b": value, "c": value});
    bed.vault.put_kv2(PATH, &secret);
}

/// One kill, and what kubelet does next.
fn round(bed: &Bed, account: &Account, kill: usize, found: &mut Found) -> Result<()> {
    let operation = OPERATIONS[kill % OPERATIONS.len()];
    let (old, new) = (2 * kill, 2 * kill + 1);
    let volume = bed.node.volume("secrets");
    put(bed, old);
    let plugin = bed.start()?;
    let victim = if fastrand::bool() {
        plugin.mounter
    } else {
        plugin.worker()
    };
    block_on(async {
        let call = bed.connect().await;
        if operation != Operation::Publish {
            publish(&call, &volume, account).await?;
            put(bed, new);
            bed.refresh(&kill.to_string());
            tokio::time::sleep(NOTICE).await;
        }
        let moment = LONGEST.mul_f64(fastrand::f64());
        let kill = async {
            tokio::time::sleep(moment).await;
            plugin.kill(victim);
        };
        // Its outcome does not matter: the plugin dies under it, or after it.
        let _ = tokio::join!(run(operation, &call, &volume, account), kill);
        Ok::<_, anyhow::Error>(())
    })??;
    let state = look(&volume.target);
    match state {
        State::Whole(version) if version == old || version == new => found.whole += 1,
        State::Absent if operation != Operation::Refresh => {}
        _ => {
            eprintln!("bench csi: kill {kill}: {state:?}");
            found.empty_or_mixed += 1;
        }
    }
    recover(bed, account, operation, &volume, found)
}

async fn run(
    operation: Operation,
    call: &Call,
    volume: &VolumeOf,
    account: &Account,
) -> Result<()> {
    match operation {
        Operation::Publish | Operation::Refresh => publish(call, volume, account).await,
        Operation::Unpublish => Ok(call.unpublish(volume).await?),
    }
}

/// Kubelet repeats the call with a plugin that runs again, and takes the volume away in the end.
fn recover(
    bed: &Bed,
    account: &Account,
    operation: Operation,
    volume: &VolumeOf,
    found: &mut Found,
) -> Result<()> {
    let plugin = bed.start()?;
    block_on(async {
        let call = bed.connect().await;
        if operation != Operation::Unpublish {
            publish(&call, volume, account).await?;
            if !matches!(look(&volume.target), State::Whole(_)) {
                found.empty_or_mixed += 1;
            }
            if mounts(&volume.target).len() != 1 {
                found.stacked_or_leaked += 1;
            }
        }
        call.unpublish(volume)
            .await
            .context("NodeUnpublishVolume failed")
    })??;
    let victim = plugin.worker();
    plugin.kill(victim);
    if volume.target.exists() || !mounts(&volume.target).is_empty() {
        found.stacked_or_leaked += 1;
    }
    Ok(())
}

/// The volume as a program that starts now would see it.
fn look(target: &Path) -> State {
    match mounts(target).len() {
        0 => return State::Absent,
        1 => {}
        _ => return State::Broken,
    }
    let values = KEYS.map(|key| fs::read_to_string(target.join(key)).ok());
    let first = values[0].as_deref().and_then(|value| value.parse().ok());
    match first {
        Some(version) if values.iter().all(|value| *value == values[0]) => State::Whole(version),
        _ => State::Broken,
    }
}
