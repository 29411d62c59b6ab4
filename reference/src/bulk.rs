//! Paths of which all keys are taken: `--from`, and the peers' `VAULT_ENV_FROM_PATH`.

use crate::{ParseError, ParseErrorKind, path};

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
        let (path, version) = match text.split_once('#') {
            None => (text, None),
            Some((path, version)) => (path, Some(version)),
        };
        let at = |column: usize, kind: ParseErrorKind| ParseError { column, kind };
        let version_error = |kind| at(path.len() + 2, kind);
        let version = match version {
            None => None,
            Some("") => return Err(version_error(ParseErrorKind::EmptyVersion)),
            Some(digits) => {
                Some(version_number(digits).ok_or_else(|| version_error(ParseErrorKind::Version))?)
            }
        };
        Ok(Self {
            path: path::parse(path).map_err(|error| at(1, error.into()))?,
            version,
        })
    }

    /// Several, between commas, as `VAULT_ENV_FROM_PATH` holds them. Blanks around each are dropped.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ParseError> {
        text.split(',')
            .map(str::trim)
            .filter(|path| !path.is_empty())
            .map(Self::parse)
            .collect()
    }
}

/// A version: digits only, from 1. Version 0 means "latest" to a server, which is what leaving it out says clearly.
pub(crate) fn version_number(digits: &str) -> Option<u32> {
    let number = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())??;
    (number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_peers_write_them() {
        let paths = BulkPath::parse_list("secret/data/a#1, secret/data/b,").unwrap();
        assert_eq!(
            paths,
            [
                BulkPath {
                    path: "secret/data/a".into(),
                    version: Some(1)
                },
                BulkPath {
                    path: "secret/data/b".into(),
                    version: None
                },
            ]
        );
    }

    #[test]
    fn versions_are_numbers() {
        for (text, kind) in [
            ("a#", ParseErrorKind::EmptyVersion),
            ("a#x", ParseErrorKind::Version),
            ("a#-1", ParseErrorKind::Version),
            ("a#0", ParseErrorKind::Version),
            ("a#+1", ParseErrorKind::Version),
            ("a#99999999999", ParseErrorKind::Version),
        ] {
            assert_eq!(
                BulkPath::parse(text).unwrap_err(),
                ParseError { column: 3, kind },
                "{text}"
            );
        }
    }
}
