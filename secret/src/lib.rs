//! The types that hold secret bytes, used by every part.
//!
//! Bytes become a [`Secret`] when they are read and stay one until they leave the process. A [`Value`] is a JSON document
//! whose leaves are secrets. Neither can be formatted or serialised by accident: there is no `Display` and no
//! `Serialize`, and `Debug` prints a fixed word. The one way to the bytes is [`Secret::expose`], so `grep expose` lists
//! every place where a value may leave.

mod value;

use std::fmt;

use zeroize::Zeroizing;

pub use value::{MAX_DEPTH, ParseError, Value};

/// Bytes that must never reach a log, an error text, an event or a status. Zeroed on drop.
///
/// Equality takes the same time wherever the first difference is.
#[derive(Clone, Default, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

// === impl Secret ===

impl Secret {
    /// Takes over `bytes`; they are zeroed when the secret is dropped.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Every call is a place where the value may leave; keep it next to where it is used.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, or `None` when they are not UTF-8.
    #[must_use]
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .0
                .iter()
                .zip(other.0.iter())
                .fold(0, |acc, (a, b)| acc | (a ^ b))
                == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_byte() {
        let secret = Secret::from("hunter2");
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "[REDACTED] Some(\n    [REDACTED],\n)"
        );
    }

    #[test]
    fn equality_compares_content_and_length() {
        assert_eq!(Secret::from("a"), Secret::new(vec![b'a']));
        assert_ne!(Secret::from("a"), Secret::from("b"));
        assert_ne!(Secret::from("a"), Secret::from("ab"));
        assert_ne!(Secret::from(""), Secret::from("a"));
    }

    #[test]
    fn text_is_offered_only_when_it_is_text() {
        assert_eq!(Secret::from("é").expose_str(), Some("é"));
        assert_eq!(Secret::new(vec![0xff]).expose_str(), None);
    }
}
