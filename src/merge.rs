//! The program's environment: which source wins a name, what is left out, in which order.

use std::collections::BTreeMap;

use envlatch_secret::Secret;

use crate::environment::Environment;
use crate::name::{Patterns, shown};
use crate::problem::{Exit, Problems};
use crate::removed::{self, Role};
use crate::settings::OnConflict;

/// A name that a source gives, with its value; `None` unsets it.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Option<Secret>,
    pub(crate) source: Source,
}

/// Where a value comes from, as a person would write it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) text: String,
    /// KV v2 version
    pub(crate) version: Option<u64>,
    /// Whether a default stood in for something absent
    pub(crate) default_used: bool,
}

/// A variable of the program.
pub(crate) struct Entry {
    pub(crate) value: Secret,
    pub(crate) source: Source,
    /// Sources that gave the name too and lost
    pub(crate) losers: Vec<Source>,
}

/// The variables of the program, sorted by name. A name is there once.
#[derive(Default)]
pub(crate) struct Merged(pub(crate) BTreeMap<Vec<u8>, Entry>);

/// Which inherited names are left out.
pub(crate) struct Removal<'a> {
    /// Names that stay whatever they are
    pub(crate) pass: &'a Patterns,
    /// Whether anything came from a server; without one only what holds secret bytes is left out, because other settings
    /// may be the program's own
    pub(crate) server_used: bool,
    /// Whether the program is given the login's token, and so needs to find the server
    pub(crate) login_handed_on: bool,
}

// === impl Source ===

impl Source {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// One entry of a bulk source.
    pub(crate) fn entry(&self, key: &[u8]) -> Self {
        let separator = if self.text.contains(':') { "#" } else { "/" };
        Self {
            text: format!("{}{separator}{}", self.text, shown(key)),
            ..self.clone()
        }
    }
}

// === impl Merged ===

impl Merged {
    /// The inherited variables that the program keeps.
    pub(crate) fn inherited(environment: &Environment, removal: &Removal<'_>) -> Self {
        let kept = environment.iter().filter(|(name, _)| removal.keeps(name));
        let entry = |value: &[u8]| Entry {
            value: Secret::new(value.to_vec()),
            source: Source::new("inherited"),
            losers: Vec::new(),
        };
        Self(
            kept.map(|(name, value)| (name.to_vec(), entry(value)))
                .collect(),
        )
    }

    /// Removes a variable whose inherited value is a reference: what it resolves to comes back as a candidate.
    pub(crate) fn forget(&mut self, name: &[u8]) {
        self.0.remove(name);
    }

    /// Adds candidates in ascending precedence.
    ///
    /// # Errors
    /// With [`OnConflict::Error`], each name that two sources give.
    pub(crate) fn add(
        &mut self,
        candidates: Vec<Candidate>,
        on_conflict: OnConflict,
    ) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for Candidate {
            name,
            value,
            source,
        } in candidates
        {
            let Some(value) = value else { continue };
            match self.0.get_mut(&name) {
                None => {
                    self.0.insert(
                        name,
                        Entry {
                            value,
                            source,
                            losers: Vec::new(),
                        },
                    );
                }
                Some(entry) if on_conflict == OnConflict::Keep => entry.losers.push(source),
                Some(entry) if on_conflict == OnConflict::Error => {
                    let (name, first, second) = (shown(&name), &entry.source.text, &source.text);
                    let remedy = "choose one with --on-conflict overwrite or keep, or leave one out with --except";
                    problems.add(
                        Exit::Data,
                        format!("{name}: given by both {first} and {second}; {remedy}"),
                    );
                }
                Some(entry) => {
                    entry.value = value;
                    entry
                        .losers
                        .push(std::mem::replace(&mut entry.source, source));
                }
            }
        }
        problems.or_ok(())
    }
}

// === impl Removal ===

impl Removal<'_> {
    fn keeps(&self, name: &[u8]) -> bool {
        if self.pass.holds(name) {
            return true;
        }
        if name.starts_with(b"ENVLATCH_") {
            return !std::str::from_utf8(name)
                .is_ok_and(|name| crate::options::variables().any(|known| known == name));
        }
        match removed::role(name) {
            None => true,
            Some(Role::Credential) => false,
            Some(Role::Connection) => !self.server_used || self.login_handed_on,
            Some(Role::Setting) => !self.server_used,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn names(merged: &Merged) -> Vec<String> {
        merged.0.keys().map(|name| shown(name)).collect()
    }

    fn candidate(name: &str, value: &str, source: &str) -> Candidate {
        Candidate {
            name: name.into(),
            value: Some(value.into()),
            source: Source::new(source),
        }
    }

    const INHERITED: &[(&str, &str)] = &[
        ("VAULT_TOKEN", "t"),
        ("VAULT_ADDR", "a"),
        ("VAULT_ROLE", "r"),
        ("VAULT_X", "x"),
        ("ENVLATCH_DIR", "d"),
        ("ENVLATCH_PORT", "p"),
        ("A", "1"),
    ];

    #[test]
    fn what_is_left_out_depends_on_what_was_used() {
        for (pass, server_used, login_handed_on, expected) in [
            (
                "",
                false,
                false,
                vec!["A", "ENVLATCH_PORT", "VAULT_ADDR", "VAULT_ROLE", "VAULT_X"],
            ),
            ("", true, false, vec!["A", "ENVLATCH_PORT", "VAULT_X"]),
            (
                "",
                true,
                true,
                vec!["A", "ENVLATCH_PORT", "VAULT_ADDR", "VAULT_X"],
            ),
            (
                "VAULT_T*",
                true,
                false,
                vec!["A", "ENVLATCH_PORT", "VAULT_TOKEN", "VAULT_X"],
            ),
        ] {
            let pass = Patterns::new(&[pass.to_owned()]);
            let merged = Merged::inherited(
                &environment(INHERITED),
                &Removal {
                    pass: &pass,
                    server_used,
                    login_handed_on,
                },
            );
            assert_eq!(names(&merged), expected);
        }
    }

    #[test]
    fn precedence_can_be_turned_round_or_forbidden() {
        for (on_conflict, expected) in [
            (OnConflict::Overwrite, "second"),
            (OnConflict::Keep, "first"),
        ] {
            let mut merged = Merged::default();
            let candidates = vec![candidate("A", "1", "first"), candidate("A", "2", "second")];
            merged.add(candidates, on_conflict).unwrap();
            let entry = &merged.0[b"A".as_slice()];
            assert_eq!(
                (entry.source.text.as_str(), entry.losers.len()),
                (expected, 1)
            );
        }
        let candidates = vec![candidate("A", "1", "first"), candidate("A", "2", "second")];
        let problems = Merged::default()
            .add(candidates, OnConflict::Error)
            .unwrap_err();
        assert!(
            problems
                .message()
                .starts_with("A: given by both first and second")
        );
    }
}
