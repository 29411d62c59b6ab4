//! The figures of a bench: a table for people, an object for programs. Nothing here asserts; a figure stands beside its
//! goal.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// What a figure is meant to be.
#[derive(Clone, Copy)]
pub enum Goal {
    /// This or less
    AtMost(f64),
    /// This or more
    AtLeast(f64),
}

/// Everything that was measured, in order.
pub struct Report {
    goals: &'static [(&'static str, Goal)],
    table: String,
    figures: Map<String, Value>,
}

// === impl Report ===

impl Report {
    /// A report without figures; `goals` are by the name of the figure.
    #[must_use]
    pub fn new(goals: &'static [(&'static str, Goal)]) -> Self {
        Self {
            goals,
            table: String::new(),
            figures: Map::new(),
        }
    }

    /// The heading of figures that belong together.
    pub fn section(&mut self, text: &str) {
        self.line(&format!("\n{text}"));
    }

    /// A figure of its own line, which says whether a goal is met. Of what was recorded before, only the goal is new.
    pub fn figure(&mut self, name: &str, what: &str, value: f64, decimals: usize) {
        self.record(name, value, decimals);
        let judged = self
            .goal(name)
            .map_or(String::new(), |goal| goal.judge(value));
        self.line(&format!(
            "  {name:<28}{what:<40}{value:>10.decimals$}{judged}"
        ));
    }

    /// The same for a figure that was recorded, only if it has a goal.
    pub fn judge(&mut self, name: &str, what: &str, value: f64, decimals: usize) {
        if self.goal(name).is_some() {
            self.figure(name, what, value, decimals);
        }
    }

    /// A figure for programs alone.
    pub fn record(&mut self, name: &str, value: f64, decimals: usize) {
        let scale = 10_f64.powi(i32::try_from(decimals).unwrap_or(0));
        let rounded = (value * scale).round() / scale;
        let number = if decimals == 0 {
            json!(rounded as i64)
        } else {
            json!(rounded)
        };
        self.figures.insert(name.to_owned(), number);
    }

    /// A line of the table.
    pub fn line(&mut self, text: &str) {
        writeln!(self.table, "{text}").expect("a string takes everything");
    }

    /// The table, or with `json` one object.
    #[must_use]
    pub fn text(self, json: bool) -> String {
        if json {
            format!("{}\n", Value::Object(self.figures))
        } else {
            self.table.trim_start().to_owned()
        }
    }

    fn goal(&self, name: &str) -> Option<Goal> {
        let goal = self.goals.iter().find(|(known, _)| *known == name);
        goal.map(|(_, goal)| *goal)
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
