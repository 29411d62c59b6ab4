//! What stops a start, and the exit code that says so.
//!
//! Problems are collected, not thrown one by one: a person who fixes a manifest wants all of them at once. A text names
//! the variable, path or option, the cause and the remedy, and never a value.

use std::fmt::Write as _;

use envlatch_secret::Value;

/// The launcher's own exit codes: those of `sysexits.h` for what it cannot do, those of a shell for the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command line cannot be understood.
    Usage = 64,
    /// A reference, a name or a value cannot be used.
    Data = 65,
    /// A file, path, key or version is missing.
    Missing = 66,
    /// The server could not be reached, or stayed sealed, for the whole budget.
    Unavailable = 69,
    /// A bug in the launcher.
    Bug = 70,
    /// A file cannot be written.
    CannotCreate = 73,
    /// Values changed, and the program was ended so that it can be started with the new ones (`EX_TEMPFAIL`).
    Changed = 75,
    /// The server refused.
    Denied = 77,
    /// A setting is wrong, or a name is refused.
    Config = 78,
    /// The command was found but cannot be executed.
    NotExecutable = 126,
    /// The command was not found.
    NotFound = 127,
}

/// One reason why nothing is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The exit code if this is the only problem
    pub exit: Exit,
    /// What, why, and what to do, in one line
    pub text: String,
}

/// Several problems; at least one once a step has failed with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

// === impl Exit ===

impl Exit {
    /// Which code wins when problems of several kinds meet: what a person must correct before what may pass by itself.
    const PRECEDENCE: [Self; 11] = [
        Self::Usage,
        Self::Config,
        Self::Data,
        Self::Denied,
        Self::Missing,
        Self::Unavailable,
        Self::NotFound,
        Self::NotExecutable,
        Self::CannotCreate,
        Self::Changed,
        Self::Bug,
    ];
}

// === impl Problem ===

impl Problem {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
        }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

// === impl Problems ===

impl Problems {
    pub(crate) fn add(&mut self, exit: Exit, text: impl Into<String>) {
        self.0.push(Problem::new(exit, text));
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Keeps the value of `result`, or its problems.
    pub(crate) fn collect<T>(&mut self, result: Result<T, impl Into<Self>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problems) => {
                self.extend(problems.into());
                None
            }
        }
    }

    /// `value` if there was no problem.
    pub(crate) fn or_ok<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each problem.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// The exit code for all of them together.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let wins = |exit: &&Exit| self.0.iter().any(|problem| problem.exit == **exit);
        Exit::PRECEDENCE
            .iter()
            .find(wins)
            .copied()
            .unwrap_or(Exit::Bug)
    }

    /// Each problem with its code, for a machine.
    pub(crate) fn details(&self) -> Vec<(String, Value)> {
        let code = |exit: Exit| {
            (
                "exit_code".to_owned(),
                Value::Number((exit as u8).to_string().into()),
            )
        };
        let text = |text: &str| ("message".to_owned(), Value::String(text.into()));
        let each = self
            .0
            .iter()
            .map(|problem| Value::Object(vec![code(problem.exit), text(&problem.text)]))
            .collect();
        vec![
            code(self.exit()),
            ("problems".to_owned(), Value::Array(each)),
        ]
    }

    /// The message for a person: one line for one problem, a list for several.
    #[must_use]
    pub fn message(&self) -> String {
        match self.0.as_slice() {
            [only] => only.text.clone(),
            all => all.iter().fold(
                format!("{} problems, nothing was started:", all.len()),
                |mut text, problem| {
                    let _infallible = write!(text, "\n  - {}", problem.text);
                    text
                },
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(exits: &[Exit]) -> Problems {
        Problems(exits.iter().map(|exit| Problem::new(*exit, "x")).collect())
    }

    #[test]
    fn what_a_person_must_correct_decides_the_code() {
        use Exit::{Config, Data, Denied, Missing, NotFound, Unavailable};
        for (exits, expected) in [
            (vec![Unavailable, Missing, Denied, Data, Config], Config),
            (vec![Unavailable, Missing, Denied, Data], Data),
            (vec![Unavailable, Missing, Denied], Denied),
            (vec![Unavailable, Missing], Missing),
            (vec![NotFound, Unavailable], Unavailable),
            (vec![NotFound], NotFound),
        ] {
            assert_eq!(problems(&exits).exit(), expected, "{exits:?}");
        }
    }

    #[test]
    fn every_code_has_a_rank() {
        use Exit::{Bug, CannotCreate, Changed, NotExecutable, Usage};
        for exit in [Bug, CannotCreate, Changed, NotExecutable, Usage] {
            assert_eq!(problems(&[exit]).exit(), exit);
        }
    }
}
