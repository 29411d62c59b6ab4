//! Sealing for statuses: the login behind a dynamic credential is kept there, where it is written together with the leases that belong to
//! it, and can be read only by who has the operator's key. Each bundle has a key of its own, so that what is sealed for one cannot be
//! opened for another.

use data_encoding::BASE64;
use envlatch_vault::Secret;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// What the keys are for; another purpose has another name.
const PURPOSE: &[u8] = b"envlatch.io/operator login";

/// Seals and opens.
#[derive(Debug)]
pub(crate) struct Sealer(Prk);

// === impl Sealer ===

impl Sealer {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(Salt::new(HKDF_SHA256, PURPOSE).extract(key))
    }

    /// `text` for the bundle with `uid`.
    pub(crate) fn seal(&self, uid: &str, text: &Secret) -> String {
        let mut nonce = [0; NONCE_LEN];
        let filled = SystemRandom::new().fill(&mut nonce);
        filled.expect("the kernel's random numbers cannot fail once it has started");
        // It is overwritten in place, and is no secret any more then.
        let mut bytes = text.expose().to_vec();
        let tag = self
            .key(uid)
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut bytes,
            )
            .expect("a journal is shorter than the 64 GiB of AES-GCM");
        BASE64.encode(&[&nonce, bytes.as_slice(), tag.as_ref()].concat())
    }

    /// What was sealed for the bundle with `uid`; `None` when it was not, or with another key.
    pub(crate) fn open(&self, uid: &str, sealed: &str) -> Option<Secret> {
        let bytes = BASE64.decode(sealed.as_bytes()).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let length = self
            .key(uid)
            .open_in_place(nonce, Aad::empty(), &mut text)
            .ok()?
            .len();
        text.truncate(length);
        Some(Secret::new(text))
    }

    fn key(&self, uid: &str) -> LessSafeKey {
        let uid = [uid.as_bytes()];
        let key = self.0.expand(&uid, &AES_256_GCM);
        let key = key.expect("a key of AES-256 is shorter than what HKDF gives");
        LessSafeKey::new(UnboundKey::from(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_for_the_same_bundle_with_the_same_key_alone() {
        let sealer = Sealer::new(b"one key");
        let text = Secret::from("token");
        let sealed = sealer.seal("uid", &text);
        assert_eq!(sealer.open("uid", &sealed), Some(text.clone()));
        assert_ne!(sealer.seal("uid", &text), sealed);
        assert_eq!(sealer.open("other", &sealed), None);
        assert_eq!(Sealer::new(b"another key").open("uid", &sealed), None);
    }

    #[test]
    fn what_was_tampered_with_is_not_opened() {
        let sealer = Sealer::new(b"one key");
        let sealed = sealer.seal("uid", &Secret::from("token"));
        let bytes = BASE64.decode(sealed.as_bytes()).unwrap();
        for n in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[n] ^= 1;
            assert_eq!(sealer.open("uid", &BASE64.encode(&bytes)), None, "{n}");
            assert_eq!(sealer.open("uid", &BASE64.encode(&bytes[..n])), None, "{n}");
        }
        assert_eq!(sealer.open("uid", "no base64!"), None);
    }
}
