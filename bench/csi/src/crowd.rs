//! 40 pods at once, with a volume and without, in turns.

use anyhow::Result;
use envlatch_bench_report::Report;

use crate::parts::Settings;
use crate::pods::{asked, cluster, cpu_ms, end, five_paths, memory, quiet, restart, start, volume};
use crate::statistics::median;

const PODS: usize = 40;

pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    let namespace = cluster().namespace("crowd");
    five_paths(&namespace);
    restart();
    report.section("40 pods at once, with a volume of 5 paths and without");
    memory(report, "idle")?;
    // The node's caches are filled by a burst that does not count.
    start(&namespace, PODS, None);
    end(&namespace);
    let (mut bare, mut ours, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let before = asked(&namespace);
    for pair in 0..settings.pairs {
        quiet();
        bare.push(start(&namespace, PODS, None));
        end(&namespace);
        quiet();
        let used = cpu_ms();
        ours.push(start(&namespace, PODS, Some(&volume())));
        cpu.push(cpu_ms() - used);
        if pair == 0 {
            memory(report, "40")?;
        }
        end(&namespace);
    }
    let after = asked(&namespace);
    let per_burst = |total: usize| total as f64 / settings.pairs as f64;
    let ratios: Vec<f64> = ours
        .iter()
        .zip(&bare)
        .map(|(ours, bare)| ours / bare)
        .collect();
    let (least, most) = ratios
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(least, most), ratio| {
            (least.min(*ratio), most.max(*ratio))
        });
    for (name, what, value, decimals) in [
        (
            "pods40_bare_s",
            "seconds without a volume, median",
            median(&bare),
            2,
        ),
        ("pods40_s", "seconds with one, median", median(&ours), 2),
        (
            "pods40_vs_bare",
            "their ratio",
            median(&ours) / median(&bare),
            3,
        ),
        ("pods40_vs_bare_least", "the least of a pair", least, 3),
        ("pods40_vs_bare_most", "the most of a pair", most, 3),
        (
            "logins_40",
            "logins of a burst",
            per_burst(after.0 - before.0),
            2,
        ),
        (
            "reads_40",
            "reads of a burst",
            per_burst(after.1 - before.1),
            2,
        ),
        (
            "cpu_40_ms",
            "ms of processor time of a burst, median",
            median(&cpu),
            0,
        ),
    ] {
        report.figure(name, what, value, decimals);
    }
    Ok(())
}
