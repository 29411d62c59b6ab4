//! Whether two environments are equal, without keeping either: a keyed hash, whose key is drawn when the launcher starts
//! and never leaves it. A plain hash of a short password could be guessed; this one says nothing without the key.

use ring::hmac;
use ring::rand::SystemRandom;

use crate::merge::Merged;

/// The hash of one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest([u8; LENGTH]);

/// What makes hashes of this launcher comparable with each other and with nothing else.
pub(super) struct Key(hmac::Key);

/// That of SHA-256, in bytes.
const LENGTH: usize = 32;

// === impl Key ===

impl Key {
    /// A new key.
    pub(super) fn generate() -> Option<Self> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .ok()
            .map(Self)
    }

    /// The hash of all names and values. Each is preceded by its length, so that no two environments look alike.
    pub(super) fn digest(&self, environment: &Merged) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        for (name, entry) in &environment.0 {
            for part in [name.as_slice(), entry.value.expose()] {
                context.update(&part.len().to_le_bytes());
                context.update(part);
            }
        }
        let mut digest = [0; LENGTH];
        digest.copy_from_slice(context.sign().as_ref());
        Digest(digest)
    }
}

// === impl Digest ===

impl Digest {
    pub(super) fn to_hex(self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::new(), |mut hex, byte| {
            let _infallible = write!(hex, "{byte:02x}");
            hex
        })
    }

    pub(super) fn from_hex(hex: &str) -> Option<Self> {
        let mut digest = [0; LENGTH];
        if hex.len() != 2 * LENGTH || !hex.is_ascii() {
            return None;
        }
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{Candidate, Source};
    use crate::settings::OnConflict;

    fn environment(variables: &[(&str, &str)]) -> Merged {
        let mut merged = Merged::default();
        let candidates = variables.iter().map(|(name, value)| Candidate {
            name: name.as_bytes().to_vec(),
            value: Some((*value).into()),
            source: Source::new("test"),
        });
        merged
            .add(candidates.collect(), OnConflict::Overwrite)
            .unwrap();
        merged
    }

    #[test]
    fn equal_environments_alone_are_equal() {
        let key = Key::generate().unwrap();
        let digest = |variables: &[(&str, &str)]| key.digest(&environment(variables));
        let one = digest(&[("A", "1"), ("B", "2")]);
        assert_eq!(one, digest(&[("B", "2"), ("A", "1")]));
        for other in [
            [("A", "1"), ("B", "3")].as_slice(),
            &[("A", "1")],
            &[("A", "1B"), ("B", "2")],
            &[("A1", ""), ("B", "2")],
        ] {
            assert_ne!(one, digest(other));
        }
        let another_key = Key::generate().unwrap();
        assert_ne!(
            one,
            another_key.digest(&environment(&[("A", "1"), ("B", "2")]))
        );
        assert_eq!(Digest::from_hex(&one.to_hex()), Some(one));
        assert_eq!(Digest::from_hex("é"), None);
    }
}
