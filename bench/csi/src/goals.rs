//! What the figures are meant to be.

use envlatch_bench_report::Goal;

/// Goals by the name of the figure.
pub(crate) const GOALS: &[(&str, Goal)] = &[
    ("publish_over_floor_ms", Goal::AtMost(15.0)),
    ("idle_republish_calls", Goal::AtMost(0.0)),
    ("kills_empty_or_mixed", Goal::AtMost(0.0)),
    ("kills_stacked_or_leaked", Goal::AtMost(0.0)),
    ("image_bytes", Goal::AtMost(8.0 * 1024.0 * 1024.0)),
    ("pods40_vs_bare", Goal::AtMost(1.1)),
    ("logins_40", Goal::AtMost(1.0)),
    ("cpu_40_ms", Goal::AtMost(150.0)),
    ("rss_110_kib", Goal::AtMost(20.0 * 1024.0)),
    ("cold110_logins", Goal::AtMost(1.0)),
    ("cold110_reads_per_path_10s", Goal::AtMost(1.0)),
    ("cold110_fresh_value", Goal::AtLeast(1.0)),
    ("outage_first_event_s", Goal::AtMost(10.0)),
    ("outage_recovery_s", Goal::AtMost(2.0)),
];
