//! The operator's key, in a Secret of its own namespace: read once, and made by the first operator. Hashes are made with it, and what is
//! sealed in statuses is sealed with keys that come of it. Whoever deletes it makes the next operator write every Secret once more, and
//! replace every dynamic credential before it ends.

use std::collections::BTreeMap;

use envlatch_bundle::{Code, Problem};
use envlatch_vault::Secret;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as KubernetesSecret;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use ring::rand::{SecureRandom, SystemRandom};

/// Where the key is.
const NAME: &str = "envlatch-operator-key";
const ENTRY: &str = "hmac";
const LENGTH: usize = 32;

/// The key in the operator's namespace, which the first operator makes.
///
/// # Errors
/// It can be neither read nor made.
pub(crate) async fn load(client: Client, namespace: &str) -> Result<Secret, Problem> {
    let api: Api<KubernetesSecret> = Api::namespaced(client, namespace);
    let unusable = |error: Error| {
        let text = format!("the Secret {namespace}/{NAME} with the key cannot be used: {error}");
        Problem::new(Code::Unavailable, "KeyUnavailable", text)
    };
    if let Some(found) = api.get_opt(NAME).await.map_err(unusable)? {
        return of(&found);
    }
    match api.create(&PostParams::default(), &fresh()).await {
        Ok(made) => of(&made),
        // Another replica was faster.
        Err(Error::Api(status)) if status.code == 409 => {
            of(&api.get(NAME).await.map_err(unusable)?)
        }
        Err(error) => Err(unusable(error)),
    }
}

fn of(secret: &KubernetesSecret) -> Result<Secret, Problem> {
    let data = secret.data.as_ref();
    let key = data
        .and_then(|data| data.get(ENTRY))
        .filter(|key| key.0.len() >= LENGTH);
    key.map(|key| Secret::new(key.0.clone())).ok_or_else(|| {
        Problem::new(
            Code::FailedPrecondition,
            "KeyUnavailable",
            format!(
                "the Secret {NAME} has no key of {LENGTH} bytes in {ENTRY}; delete it, and the operator makes another"
            ),
        )
    })
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
