//! What was given for an option: on the command line, else in its twin.

use std::ffi::OsString;
use std::fmt::Display;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::str::FromStr;

use crate::cli::Words;
use crate::environment::Environment;
use crate::options::{self, Opt};
use crate::problem::{Exit, Problems};

/// The two places where an option can be given. A flag replaces its twin.
pub(crate) struct Given<'a> {
    pub(crate) words: &'a Words,
    pub(crate) environment: &'a Environment,
}

// === impl Given ===

impl Given<'_> {
    /// The value of an option, and the name it was given under. An empty twin is one that was not given.
    pub(crate) fn one(&self, option: &str) -> Option<(OsString, String)> {
        match self.words.one(option) {
            Some(value) => Some((value, format!("--{option}"))),
            None => self.twin(option).filter(|(value, _)| !value.is_empty()),
        }
    }

    /// The values of a list option, and the name each was given under.
    pub(crate) fn list(&self, option: &str) -> impl Iterator<Item = (OsString, String)> {
        let words = self.words.list(option);
        let mut values: Vec<_> = words
            .into_iter()
            .map(|value| (value, format!("--{option}")))
            .collect();
        if let Some((lines, variable)) = self.twin(option).filter(|_| values.is_empty()) {
            let lines = lines
                .as_bytes()
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::trim_ascii);
            let lines = lines.filter(|line| !line.is_empty());
            values.extend(lines.map(|line| (OsString::from_vec(line.to_vec()), variable.clone())));
        }
        values.into_iter()
    }

    /// The values of a list option as text.
    pub(crate) fn texts(&self, option: &str, problems: &mut Problems) -> Vec<String> {
        self.parsed_list(option, |text| Ok::<_, String>(text.to_owned()), problems)
    }

    pub(crate) fn parsed_list<T, E: Display>(
        &self,
        option: &str,
        parse: impl Fn(&str) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Vec<T> {
        self.list(option)
            .filter_map(|(value, name)| understood(&value, &name, &parse, problems))
            .collect()
    }

    pub(crate) fn parsed<T: FromStr<Err: Display>>(
        &self,
        option: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        self.one(option)
            .and_then(|(value, name)| understood(&value, &name, T::from_str, problems))
    }

    /// Whether a switch is on; its twin holds a boolean as the official clients read one.
    pub(crate) fn switch(&self, option: &str, problems: &mut Problems) -> bool {
        let twin = self.twin(option);
        let twin = twin.and_then(|(value, name)| understood(&value, &name, boolean, problems));
        self.words.switch(option) || twin.unwrap_or(false)
    }

    fn twin(&self, option: &str) -> Option<(OsString, String)> {
        let known = |known: &&Opt| known.name == option && known.twin;
        let variable = options::all().find(known)?.variable();
        self.environment
            .get(&variable)
            .map(|value| (value.to_owned(), variable))
    }
}

/// `value` parsed, or a problem that names where it was given.
pub(super) fn understood<T, E: Display>(
    value: &OsString,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
    problems: &mut Problems,
) -> Option<T> {
    let parsed = match value.to_str() {
        Some(text) => parse(text).map_err(|error| error.to_string()),
        None => Err("is not UTF-8".to_owned()),
    };
    parsed
        .map_err(|cause| problems.add(Exit::Config, format!("{name}: {cause}")))
        .ok()
}

/// The words that Go's `strconv.ParseBool` knows, as the official clients and all peers do.
pub(super) fn boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("is neither true nor false"),
    }
}
