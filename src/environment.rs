//! The environment as a value: bytes in, bytes out, so that a test can pass one and nothing here panics on what a parent
//! process handed over.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The variables that this process was started with.
#[derive(Clone, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

// === impl Environment ===

impl Environment {
    /// The variables of this process. Entries without `=` name nothing and are dropped; of a name that stands twice the
    /// first counts, as for `getenv(3)`.
    #[must_use]
    pub fn of_this_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_os_str())
    }

    /// Each name with its value, as bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        let mut seen = std::collections::HashSet::new();
        Self(
            variables
                .into_iter()
                .filter(|(name, _)| seen.insert(name.clone()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_counts() {
        let environment: Environment = [("A", "1"), ("B", "2"), ("A", "3")]
            .map(|(name, value)| (name.into(), value.into()))
            .into_iter()
            .collect();
        assert_eq!(environment.get("A"), Some(OsStr::new("1")));
        assert_eq!(environment.iter().count(), 2);
    }
}
