//! As many pods as a node takes, all of one account that nobody has logged in yet; and a value that is ten seconds old.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use envlatch_bench_report::Report;
use envlatch_test_support::plugin::shell;
use serde_json::json;

use crate::pods::{asked, cluster, end, five_paths, memory, restart, start, volume};
use crate::publish::paths;

/// kubelet's default; tests/bed lets it take more, for what else runs on the node.
const PODS: usize = 110;
/// How long a reply may be handed out to other pods.
const REUSE: Duration = Duration::from_secs(10);

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let namespace = cluster().namespace("cold");
    five_paths(&namespace);
    restart();
    report.section("110 pods of one account, cold");
    let before = asked(&namespace);
    let seconds = start(&namespace, PODS, Some(&volume()));
    let after = asked(&namespace);
    let started = (seconds / REUSE.as_secs_f64()).floor() + 1.0;
    let reads = (after.1 - before.1) as f64 / paths().len() as f64;
    report.figure("cold110_s", "seconds until all run", seconds, 2);
    report.figure("cold110_logins", "logins", (after.0 - before.0) as f64, 0);
    report.figure(
        "cold110_reads_per_path_10s",
        "reads of a path per started 10 s",
        reads / started,
        2,
    );
    memory(report, "110")?;
    let path = &paths()[0];
    namespace.put(cluster().vault(), path, &json!({"value": "rotated"}));
    sleep(REUSE);
    let script = format!("cat /mnt/secrets/{path}");
    let late = shell(&namespace, "late", volume(), &script);
    let fresh = late.ended().code == 0 && late.log("") == b"rotated";
    report.figure(
        "cold110_fresh_value",
        "1 if a value written 10 s before is got",
        f64::from(u8::from(fresh)),
        0,
    );
    end(&namespace);
    Ok(())
}
