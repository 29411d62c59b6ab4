//! Tokens of the bundles' own service accounts (TokenRequest), each asked for once while it lives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use envlatch_bundle::{Access, Code, Problem, Token};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::time::Instant;

/// How long a token lives: the least that Kubernetes gives.
const LIFETIME: Duration = Duration::from_secs(600);
/// What is left of a token that is still presented to a server.
const LEFT: Duration = Duration::from_secs(120);

type Name = (String, String, String);
type Slot = Arc<tokio::sync::Mutex<Option<Fresh>>>;

/// A token and when it was given: neither a clock that is set back nor a machine that sleeps makes an old one young.
struct Fresh {
    token: Token,
    since: Instant,
}

/// The tokens in use.
pub(crate) struct Tokens {
    client: Client,
    known: Mutex<HashMap<Name, Slot>>,
}

// === impl Tokens ===

impl Tokens {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            known: Mutex::default(),
        }
    }

    /// A token of a service account for the store's audience. Whoever asks for the same meanwhile waits for it.
    ///
    /// # Errors
    /// There is no such account, or the operator may not.
    pub(crate) async fn token(
        &self,
        namespace: &str,
        account: &str,
        access: &Access,
    ) -> Result<Token, Problem> {
        let audience = access.audiences.first().cloned().unwrap_or_default();
        let name = (namespace.to_owned(), account.to_owned(), audience);
        let slot = self.slot(name.clone());
        let mut token = slot.lock().await;
        if let Some(fresh) = token.as_ref().filter(|fresh| fresh.is_fresh()) {
            return Ok(fresh.token.clone());
        }
        let since = Instant::now();
        let fresh = self.request(&name).await?;
        *token = Some(Fresh {
            token: fresh.clone(),
            since,
        });
        Ok(fresh)
    }

    async fn request(&self, (namespace, account, audience): &Name) -> Result<Token, Problem> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.clone()],
                expiration_seconds: Some(LIFETIME.as_secs() as i64),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = api
            .create_token_request(account, &PostParams::default(), &request)
            .await;
        let status = answer
            .map_err(|error| refused(namespace, account, error))?
            .status;
        let status = status.ok_or_else(|| {
            Problem::new(
                Code::Unavailable,
                "TokenRefused",
                format!("the API server gave no token for service account {namespace}/{account}"),
            )
        })?;
        Ok(Token {
            jwt: status.token.into(),
            expires_at: SystemTime::now() + LIFETIME,
        })
    }

    fn slot(&self, name: Name) -> Slot {
        // Entries are added and removed whole, so a panic elsewhere cannot have broken the map.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|other, slot| {
            *other == name
                || slot
                    .try_lock()
                    .map_or(true, |token| token.as_ref().is_some_and(Fresh::is_fresh))
        });
        Arc::clone(known.entry(name).or_default())
    }
}

// === impl Fresh ===

impl Fresh {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() + LEFT < LIFETIME && self.token.expires_at > SystemTime::now() + LEFT
    }
}

fn refused(namespace: &str, account: &str, error: Error) -> Problem {
    let (code, text) = match error {
        Error::Api(status) if status.code == 404 => (
            Code::NotFound,
            format!(
                "there is no service account {namespace}/{account}; make it, or correct spec.sync.serviceAccount"
            ),
        ),
        Error::Api(status) if status.code == 403 => (
            Code::PermissionDenied,
            format!(
                "the operator may not make tokens of service account {namespace}/{account}; list it in the chart's operator.namespaces"
            ),
        ),
        Error::Api(status) => (
            Code::Unavailable,
            format!(
                "the API server gives no token for service account {namespace}/{account}: status {}",
                status.code
            ),
        ),
        other => {
            tracing::debug!("{namespace}/{account}: {other}");
            (
                Code::Unavailable,
                format!(
                    "the API server does not answer when asked for a token of service account {namespace}/{account}"
                ),
            )
        }
    };
    Problem::new(code, "TokenRefused", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn clocks_that_are_set_make_no_token_young() {
        let given = |expires_at: SystemTime| Fresh {
            token: Token {
                jwt: "jwt".into(),
                expires_at,
            },
            since: Instant::now(),
        };
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        assert!(given(now + LIFETIME).is_fresh());
        assert!(!given(now + LIFETIME - hour).is_fresh());
        let set_back = given(now + LIFETIME + hour);
        assert!(set_back.is_fresh());
        tokio::time::advance(LIFETIME - LEFT).await;
        assert!(!set_back.is_fresh());
    }
}
