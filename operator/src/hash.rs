//! The keyed hash of a Secret's content. Status and workloads show it to whoever may read them; without the key, a short secret
//! could be guessed from it.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use envlatch_vault::Secret;
use ring::hmac;

/// Makes the hashes.
#[derive(Clone, Debug)]
pub(crate) struct Hasher(hmac::Key);

// === impl Hasher ===

impl Hasher {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The hash of a type and of keys with their values.
    pub(crate) fn hash<'a>(
        &self,
        type_: &str,
        data: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        let mut update = |part: &[u8]| {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        };
        update(type_.as_bytes());
        for (key, value) in data {
            update(key.as_bytes());
            update(value);
        }
        HEXLOWER.encode(context.sign().as_ref())
    }
}

/// What is hashed of content that is to be written.
pub(crate) fn parts(data: &BTreeMap<String, Secret>) -> impl Iterator<Item = (&str, &[u8])> {
    data.iter()
        .map(|(key, value)| (key.as_str(), value.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_and_so_do_their_borders() {
        let hasher = Hasher::new(b"one key");
        let all = [
            hasher.hash("Opaque", [("a", &b"b"[..]), ("c", b"d")]),
            hasher.hash("Opaque", [("a", &b"bc"[..]), ("", b"d")]),
            hasher.hash("Opaque", [("ab", &b""[..]), ("c", b"d")]),
            hasher.hash("Opaque", [("a", &b"b"[..])]),
            hasher.hash("kubernetes.io/tls", [("a", &b"b"[..]), ("c", b"d")]),
            Hasher::new(b"another key").hash("Opaque", [("a", &b"b"[..]), ("c", b"d")]),
        ];
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(
            all[0],
            hasher.hash("Opaque", [("a", &b"b"[..]), ("c", b"d")])
        );
        assert!(all.iter().all(|hash| hash.len() == 64));
    }
}
