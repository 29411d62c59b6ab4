//! Names from sources that bring many at once: the files of a directory, the keys of a path.

use std::collections::BTreeMap;

use envlatch_secret::Secret;

use crate::merge::{Candidate, Source};
use crate::name::{self, Mapping, shown};
use crate::problem::{Exit, Problems};
use crate::refused;
use crate::settings::Settings;

/// One entry of a bulk source: the file's path or key, and its value.
pub(crate) type Entry = (Vec<u8>, Secret);

/// Why an entry cannot become a variable.
enum BadName {
    /// `=` or NUL in it, or empty
    Impossible,
    /// Possible, but no shell can use it
    Unusual,
    Refused(&'static str),
}

/// Makes variables of the entries of `source`.
///
/// # Errors
/// Every name that cannot be used, in one text per kind with the option that helps; two entries for one name.
pub(crate) fn candidates(
    entries: Vec<Entry>,
    source: &Source,
    settings: &Settings,
) -> Result<Vec<Candidate>, Problems> {
    let mut bad = Vec::new();
    let mut names: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut problems = Problems::default();
    let mut candidates = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name = [settings.prefix.as_slice(), &settings.mapping.apply(&key)].concat();
        match check(&name, settings) {
            Err(reason) => bad.push((key, name, reason)),
            Ok(()) => match names.insert(name.clone(), key.clone()) {
                Some(other) => problems.add(Exit::Data, twice(source, &name, &other, &key)),
                None => candidates.push(Candidate {
                    name,
                    value: Some(value),
                    source: source.entry(&key),
                }),
            },
        }
    }
    problems.extend(report(&bad, source, settings));
    problems.or_ok(candidates)
}

fn check(name: &[u8], settings: &Settings) -> Result<(), BadName> {
    if !name::is_possible(name) {
        return Err(BadName::Impossible);
    }
    if settings.allowed.contains(name) {
        return Ok(());
    }
    // Refused before unusual: bash exports functions as `BASH_FUNC_name%%`, which is refused for what it does.
    match refused::reason(name) {
        Some(reason) => Err(BadName::Refused(reason)),
        None if name::is_portable(name) => Ok(()),
        None => Err(BadName::Unusual),
    }
}

fn twice(source: &Source, name: &[u8], first: &[u8], second: &[u8]) -> String {
    format!(
        "{}: `{}` and `{}` both give {}; leave one out with --except",
        source.text,
        shown(first),
        shown(second),
        shown(name)
    )
}

fn report(bad: &[(Vec<u8>, Vec<u8>, BadName)], source: &Source, settings: &Settings) -> Problems {
    let mut problems = Problems::default();
    let of = |kind: fn(&BadName) -> bool| {
        bad.iter()
            .filter(move |(.., reason)| kind(reason))
            .collect::<Vec<_>>()
    };
    let impossible = of(|reason| matches!(reason, BadName::Impossible));
    if !impossible.is_empty() {
        let keys = listed(impossible.iter().map(|(key, ..)| key));
        let text = format!(
            "{}: {keys}: a name can be neither empty nor hold `=` or NUL; leave it out with --except",
            source.text
        );
        problems.add(Exit::Data, text);
    }
    let unusual = of(|reason| matches!(reason, BadName::Unusual));
    if !unusual.is_empty() {
        let keys = listed(unusual.iter().map(|(key, ..)| key));
        let helps = |(key, ..): &&&(Vec<u8>, Vec<u8>, BadName)| {
            name::is_portable(&[settings.prefix.as_slice(), &Mapping::Upper.apply(key)].concat())
        };
        let remedy = if unusual.iter().all(|entry| helps(&entry)) {
            "add --names upper, which makes DB_PASSWORD of db-password".to_owned()
        } else {
            format!(
                "add {}",
                option("--allow-name", unusual.iter().map(|(_, name, _)| name))
            )
        };
        let leave = option("--except", unusual.iter().map(|(key, ..)| key));
        let text = format!(
            "{}: no names for variables: {keys}; {remedy}, or leave them out with {leave}",
            source.text
        );
        problems.add(Exit::Data, text);
    }
    let refused: Vec<_> = bad
        .iter()
        .filter_map(|(_, name, reason)| Some((name, reason.refusal()?)))
        .collect();
    if !refused.is_empty() {
        let names = refused
            .iter()
            .map(|(name, reason)| format!("{} {reason}", shown(name)))
            .collect::<Vec<_>>()
            .join(", ");
        let allow = option("--allow-name", refused.iter().map(|(name, _)| *name));
        problems.add(
            Exit::Config,
            format!(
                "{}: refused: {names}; if that is meant, add {allow}",
                source.text
            ),
        );
    }
    problems
}

fn listed<'a>(names: impl Iterator<Item = &'a Vec<u8>>) -> String {
    names
        .map(|name| format!("`{}`", shown(name)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A line to copy: the option once for each name.
fn option<'a>(option: &str, names: impl Iterator<Item = &'a Vec<u8>>) -> String {
    names
        .map(|name| format!("{option} '{}'", shown(name)))
        .collect::<Vec<_>>()
        .join(" ")
}

// === impl BadName ===

impl BadName {
    fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Refused(reason) => Some(reason),
            _ => None,
        }
    }
}
