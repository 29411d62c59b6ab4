//! The keyed hash of a Secret's content. Status and workloads show it to whoever may read them; without the key, a short secret
//! could be guessed from it.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use envlatch_bundle::{Code, Problem};
use envlatch_vault::Secret;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as KubernetesSecret;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// Where the key is.
const NAME: &str = "envlatch-operator-key";
const ENTRY: &str = "hmac";
const LENGTH: usize = 32;

/// Makes the hashes.
#[derive(Clone, Debug)]
pub(crate) struct Hasher(hmac::Key);

// === impl Hasher ===

impl Hasher {
    /// The key in the operator's namespace, which the first operator makes.
    ///
    /// # Errors
    /// It can be neither read nor made.
    pub(crate) async fn load(client: Client, namespace: &str) -> Result<Self, Problem> {
        let api: Api<KubernetesSecret> = Api::namespaced(client, namespace);
        let unusable = |error: Error| {
            let text = format!(
                "the Secret {namespace}/{NAME} with the key of hashes cannot be used: {error}"
            );
            Problem::new(Code::Unavailable, "KeyUnavailable", text)
        };
        if let Some(found) = api.get_opt(NAME).await.map_err(unusable)? {
            return Self::of(&found);
        }
        match api.create(&PostParams::default(), &fresh()).await {
            Ok(made) => Self::of(&made),
            // Another replica was faster.
            Err(Error::Api(status)) if status.code == 409 => {
                Self::of(&api.get(NAME).await.map_err(unusable)?)
            }
            Err(error) => Err(unusable(error)),
        }
    }

    fn of(secret: &KubernetesSecret) -> Result<Self, Problem> {
        let data = secret.data.as_ref();
        let key = data
            .and_then(|data| data.get(ENTRY))
            .filter(|key| key.0.len() >= LENGTH);
        match key {
            Some(key) => Ok(Self::new(&key.0)),
            None => Err(Problem::new(
                Code::FailedPrecondition,
                "KeyUnavailable",
                format!(
                    "the Secret {NAME} has no key of {LENGTH} bytes in {ENTRY}; delete it, and the operator makes another"
                ),
            )),
        }
    }

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

fn fresh() -> KubernetesSecret {
    let mut key = [0; LENGTH];
    let filled = SystemRandom::new().fill(&mut key);
    filled.expect("the kernel's random numbers cannot fail once it has started");
    KubernetesSecret {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(
            ENTRY.to_owned(),
            ByteString(key.to_vec()),
        )])),
        ..KubernetesSecret::default()
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
