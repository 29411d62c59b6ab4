//! Paths of which all keys are taken: `--from`, and the peers' `VAULT_ENV_FROM_PATH`.

use crate::error::{ParseError, ParseErrorKind};
use crate::path;

/// A path of which every key becomes a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkPath {
    /// As the API spells it after `/v1/`
    pub path: String,
    /// KV v2 version; the latest when absent
    pub version: Option<u32>,
}

// === impl BulkPath ===

impl BulkPath {
    /// One `PATH[#VERSION]`.
    ///
    /// # Errors
    /// The path or the version cannot be used; the column counts from the start of `text`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_at(text, 0)
    }

    /// Several, between commas, as `VAULT_ENV_FROM_PATH` holds them. Blanks around each are dropped, and nothing between
    /// two commas is nothing.
    ///
    /// # Errors
    /// The first that cannot be used; the column counts from the start of `text`.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ParseError> {
        let mut paths = Vec::new();
        let mut offset = 0;
        for item in text.split(',') {
            let path = item.trim();
            if !path.is_empty() {
                let blanks = item.len() - item.trim_start().len();
                paths.push(Self::parse_at(path, offset + blanks)?);
            }
            offset += item.len() + 1;
        }
        Ok(paths)
    }

    fn parse_at(text: &str, offset: usize) -> Result<Self, ParseError> {
        let (path, version) = match text.split_once('#') {
            None => (text, None),
            Some((path, digits)) => (
                path,
                parse_version(digits).map_err(|kind| kind.at(offset + path.len() + 1))?,
            ),
        };
        let path = path::parse(path).map_err(|error| ParseErrorKind::from(error).at(offset))?;
        Ok(Self { path, version })
    }
}

/// A version: digits only. Zero is the latest one, as for the server.
pub(crate) fn parse_version(digits: &str) -> Result<Option<u32>, ParseErrorKind> {
    if digits.is_empty() {
        return Err(ParseErrorKind::EmptyVersion);
    }
    let number = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten();
    number
        .map(|number| (number > 0).then_some(number))
        .ok_or(ParseErrorKind::Version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PathError;

    #[test]
    fn lists_as_peers_write_them() {
        let path = |path: &str, version| BulkPath {
            path: path.to_owned(),
            version,
        };
        for (text, expected) in [
            ("secret/data/a", vec![path("secret/data/a", None)]),
            ("a/b#1,c/d", vec![path("a/b", Some(1)), path("c/d", None)]),
            (
                " a/b#1 ,\tc/d,",
                vec![path("a/b", Some(1)), path("c/d", None)],
            ),
            ("a#0", vec![path("a", None)]),
            ("/a", vec![path("a", None)]),
            ("", vec![]),
            (" , ", vec![]),
        ] {
            assert_eq!(
                BulkPath::parse_list(text).as_deref(),
                Ok(expected.as_slice()),
                "{text}"
            );
        }
    }

    #[test]
    fn faults_have_the_column_in_the_whole_list() {
        use ParseErrorKind::{EmptyVersion, Path, Version};
        for (text, column, kind) in [
            ("a#", 3, EmptyVersion),
            ("a#x", 3, Version),
            ("a#-1", 3, Version),
            ("a#+1", 3, Version),
            ("a#1#2", 3, Version),
            ("a#4294967296", 3, Version),
            ("a, b#x", 6, Version),
            ("#1", 1, Path(PathError::Empty)),
            ("a,\tb//c", 4, Path(PathError::EmptyPart)),
        ] {
            assert_eq!(
                BulkPath::parse_list(text),
                Err(ParseError { column, kind }),
                "{text}"
            );
        }
    }
}
