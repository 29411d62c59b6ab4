//! Names: how a file or key becomes the name of an environment variable, which are taken, and which names there are.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use wildmatch::WildMatch;

/// How a file's or key's name becomes a variable's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// As it is
    #[default]
    Keep,
    /// `db-password` becomes `DB_PASSWORD`: letters in upper case, `-`, `.` and `/` as `_`
    Upper,
}

/// Which files or keys of a bulk source are taken, by the name they have there. `*` stands for any text, `?` for one
/// character.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    only: Vec<WildMatch>,
    except: Vec<WildMatch>,
}

/// A list of names and patterns of names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(Vec<WildMatch>);

/// Whether `name` is a name that every shell and every C library accepts: `[A-Za-z_][A-Za-z0-9_]*` (POSIX.1-2024 §8.1).
pub(crate) fn is_portable(name: &[u8]) -> bool {
    let starts_well = name
        .first()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    starts_well
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether the kernel's `NAME=value` form can carry `name` at all.
pub(crate) fn is_possible(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&b'=') && !name.contains(&0)
}

/// A name as it may stand in a message: control characters and what is not UTF-8 are escaped.
pub(crate) fn shown(name: &[u8]) -> String {
    OsStr::from_bytes(name)
        .to_string_lossy()
        .escape_debug()
        .to_string()
}

// === impl Mapping ===

impl Mapping {
    pub(crate) fn apply(self, name: &[u8]) -> Vec<u8> {
        match self {
            Self::Keep => name.to_vec(),
            Self::Upper => name.iter().map(upper).collect(),
        }
    }
}

fn upper(byte: &u8) -> u8 {
    match byte {
        b'-' | b'.' | b'/' => b'_',
        other => other.to_ascii_uppercase(),
    }
}

// === impl Selection ===

impl Selection {
    pub(crate) fn new(only: &[String], except: &[String]) -> Self {
        Self {
            only: patterns(only),
            except: patterns(except),
        }
    }

    /// Whether the file or key `name` is taken.
    pub(crate) fn takes(&self, name: &[u8]) -> bool {
        !self.excludes(name) && (self.only.is_empty() || matches(&self.only, name))
    }

    /// Whether `name` is left out by name; a directory is left out with all it holds.
    pub(crate) fn excludes(&self, name: &[u8]) -> bool {
        matches(&self.except, name)
    }
}

// === impl Patterns ===

impl Patterns {
    pub(crate) fn new(patterns_of_names: &[String]) -> Self {
        Self(patterns(patterns_of_names))
    }

    pub(crate) fn holds(&self, name: &[u8]) -> bool {
        matches(&self.0, name)
    }
}

fn patterns(texts: &[String]) -> Vec<WildMatch> {
    texts.iter().map(|text| WildMatch::new(text)).collect()
}

fn matches(patterns: &[WildMatch], name: &[u8]) -> bool {
    let name = OsStr::from_bytes(name).to_string_lossy();
    patterns.iter().any(|pattern| pattern.matches(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_makes_portable_names_of_usual_keys() {
        for (key, expected) in [
            ("db-password", "DB_PASSWORD"),
            ("tls.key", "TLS_KEY"),
            ("a/b", "A_B"),
            ("A1", "A1"),
        ] {
            assert_eq!(
                Mapping::Upper.apply(key.as_bytes()),
                expected.as_bytes(),
                "{key}"
            );
            assert_eq!(Mapping::Keep.apply(key.as_bytes()), key.as_bytes(), "{key}");
        }
    }

    #[test]
    fn portable_names_are_those_of_posix() {
        for (name, portable) in [
            ("A", true),
            ("_a9", true),
            ("", false),
            ("9a", false),
            ("a-b", false),
            ("a b", false),
            ("é", false),
        ] {
            assert_eq!(is_portable(name.as_bytes()), portable, "{name}");
        }
        for (name, possible) in [
            ("a-b", true),
            ("é", true),
            ("", false),
            ("a=b", false),
            ("a\0b", false),
        ] {
            assert_eq!(is_possible(name.as_bytes()), possible, "{name}");
        }
    }

    #[test]
    fn except_wins_over_only() {
        let selection = Selection::new(&["db-*".into(), "api".into()], &["db-root".into()]);
        for (name, taken) in [
            ("db-password", true),
            ("api", true),
            ("db-root", false),
            ("other", false),
        ] {
            assert_eq!(selection.takes(name.as_bytes()), taken, "{name}");
        }
        assert!(Selection::default().takes(b"anything"));
    }

    #[test]
    fn messages_never_carry_control_characters() {
        assert_eq!(shown(b"a\nb\x1b[31m\xff"), "a\\nb\\u{1b}[31m\u{fffd}");
    }
}
