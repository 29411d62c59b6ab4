//! Signed tokens for the logins that take one.

use data_encoding::BASE64URL_NOPAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

/// A key that signs JSON web tokens (ES256).
pub struct Key {
    public_pem: String,
    signer: EcdsaKeyPair,
}

// === impl Key ===

impl Key {
    /// A new key.
    #[must_use]
    pub fn generate() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("cannot make a key");
        let signer = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &key.serialize_der(),
            &SystemRandom::new(),
        );
        Self {
            public_pem: key.public_key_pem(),
            signer: signer.expect("the key was just made"),
        }
    }

    /// The public half, as `jwt_validation_pubkeys` takes it.
    #[must_use]
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// A token with these claims, and no others.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let part = |json: &Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let signed = format!(
            "{}.{}",
            part(&json!({"alg": "ES256", "typ": "JWT"})),
            part(claims)
        );
        let signature = self
            .signer
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("the system gives random bytes");
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}
