//! How the sides of a comparison stand in the report.

use envlatch_bench_report::{Goal, Report};

use crate::measure::{Runs, Side};

/// Goals by the name of the figure.
pub(crate) const GOALS: &[(&str, Goal)] = &[
    ("file20_vs_c", Goal::AtMost(1.2)),
    ("file20_vs_shell", Goal::AtLeast(15.0)),
    ("file20_rss_kib", Goal::AtMost(3072.0)),
    ("vault20_vs_floor", Goal::AtMost(1.3)),
    ("vault20_cpu_ms", Goal::AtMost(5.0)),
    ("vault20_tls_cpu_ms", Goal::AtMost(10.0)),
    ("vault20_rss_kib", Goal::AtMost(6144.0)),
    ("size_full_bytes", Goal::AtMost(4_456_448.0)),
    ("size_files_bytes", Goal::AtMost(1_468_006.0)),
];

/// The heading of a case.
pub(crate) fn heading(report: &mut Report, text: &str) {
    report.line(&format!(
        "\n{text:<38}{:>10}  {:>19}{:>11}{:>12}",
        "median", "middle half", "CPU", "peak RSS"
    ));
}

/// What one side took. Figures are named after `case` and, unless the side is the launcher, after it.
pub(crate) fn side(
    report: &mut Report,
    case: &str,
    mark: Option<&str>,
    side: &Side,
    runs: &Runs,
    peak_kib: Option<f64>,
) {
    let prefix = mark.map_or(case.to_owned(), |mark| format!("{case}_{mark}"));
    let (wall, cpu) = (runs.wall_ms(), runs.cpu_ms());
    let (low, high) = runs.quartiles_ms();
    let peak = peak_kib.map_or(String::new(), |peak| format!("{peak:.0} KiB"));
    report.line(&format!(
        "  {:<36}{wall:>7.3} ms  {:>16} ms{cpu:>8.3} ms{peak:>12}",
        side.name,
        format!("{low:.3}..{high:.3}")
    ));
    report.record(&format!("{prefix}_ms"), wall, 3);
    report.record(&format!("{prefix}_low_ms"), low, 3);
    report.record(&format!("{prefix}_high_ms"), high, 3);
    report.record(&format!("{prefix}_cpu_ms"), cpu, 3);
    if let Some(peak) = peak_kib {
        report.record(&format!("{prefix}_rss_kib"), peak, 0);
    }
}
