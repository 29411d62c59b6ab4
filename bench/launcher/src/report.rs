//! The figures: a table for people, an object for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::measure::{Runs, Side};

/// What a figure is meant to be.
#[derive(Clone, Copy)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// Goals by the name of the figure.
const GOALS: [(&str, Goal); 9] = [
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

/// Everything that was measured, in order.
#[derive(Default)]
pub(crate) struct Report {
    table: String,
    figures: Map<String, Value>,
}

// === impl Report ===

impl Report {
    /// The heading of figures that belong to no case.
    pub(crate) fn section(&mut self, text: &str) {
        self.line(&format!("\n{text}"));
    }

    /// The heading of a case.
    pub(crate) fn heading(&mut self, text: &str) {
        self.line(&format!(
            "\n{text:<38}{:>10}  {:>19}{:>11}{:>12}",
            "median", "middle half", "CPU", "peak RSS"
        ));
    }

    /// What one side took. Figures are named after `case` and, unless the side is the launcher, after it.
    pub(crate) fn side(
        &mut self,
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
        self.line(&format!(
            "  {:<36}{wall:>7.3} ms  {:>16} ms{cpu:>8.3} ms{peak:>12}",
            side.name,
            format!("{low:.3}..{high:.3}")
        ));
        self.record(&format!("{prefix}_ms"), wall, 3);
        self.record(&format!("{prefix}_low_ms"), low, 3);
        self.record(&format!("{prefix}_high_ms"), high, 3);
        self.record(&format!("{prefix}_cpu_ms"), cpu, 3);
        if let Some(peak) = peak_kib {
            self.record(&format!("{prefix}_rss_kib"), peak, 0);
        }
    }

    /// A figure of its own line, which says whether a goal is met. Of what was recorded before, only the goal is new.
    pub(crate) fn figure(&mut self, name: &str, what: &str, value: f64, decimals: usize) {
        self.record(name, value, decimals);
        let goal = GOALS.iter().find(|(known, _)| *known == name);
        let judged = goal.map_or(String::new(), |(_, goal)| goal.judge(value));
        self.line(&format!(
            "  {name:<22}{what:<32}{value:>10.decimals$}{judged}"
        ));
    }

    /// The same for a figure of [`side`](Self::side), only if it has a goal.
    pub(crate) fn judge(&mut self, name: &str, what: &str, value: f64, decimals: usize) {
        if GOALS.iter().any(|(known, _)| *known == name) {
            self.figure(name, what, value, decimals);
        }
    }

    fn record(&mut self, name: &str, value: f64, decimals: usize) {
        let scale = [1.0, 10.0, 100.0, 1000.0][decimals];
        let rounded = (value * scale).round() / scale;
        let number = if decimals == 0 {
            json!(rounded as u64)
        } else {
            json!(rounded)
        };
        self.figures.insert(name.to_owned(), number);
    }

    fn line(&mut self, text: &str) {
        writeln!(self.table, "{text}").expect("a string takes everything");
    }

    /// The table.
    pub(crate) fn table(&self) -> &str {
        self.table.trim_start()
    }

    /// One JSON object.
    pub(crate) fn json(self) -> Value {
        Value::Object(self.figures)
    }
}

// === impl Goal ===

impl Goal {
    fn judge(self, value: f64) -> String {
        let (sign, limit, met) = match self {
            Self::AtMost(limit) => ("<=", limit, value <= limit),
            Self::AtLeast(limit) => (">=", limit, value >= limit),
        };
        format!(
            "  goal {sign} {limit:<8} {}",
            if met { "ok" } else { "MISS" }
        )
    }
}
