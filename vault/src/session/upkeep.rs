//! Keeping what a session was issued: tokens and leases are renewed, and given back one by one where the token itself is
//! not ours to revoke.

use std::time::{Duration, Instant};

use vaultrs::api::token::requests::RenewTokenSelfRequest;

use super::Session;
use super::token::Token;
use crate::call::{Call, Operation};
use crate::error::{Error, Failure};
use crate::reply::{Lease, Term};
use crate::{Secret, Value};

/// A token in use.
#[derive(Clone, Debug)]
pub struct Held {
    /// The token
    pub secret: Secret,
    /// How long it lived when it was issued or last renewed; `None` when it did not come from here, so that nobody said
    pub term: Option<Term>,
}

// === impl Session ===

impl Session {
    /// Uses `secret`, a token that an earlier session of the same identity got, instead of a login. When it is refused, the
    /// session logs in anew, if it can.
    pub fn adopt(&self, secret: Secret) {
        self.tokens.adopt(Token::new(secret, None));
    }

    /// The same with a token that somebody else goes on using: it is never revoked.
    pub fn borrow(&self, secret: Secret) {
        self.tokens.adopt(Token::lent(secret));
    }

    /// Revokes a token that an earlier session got, and with it every lease that it was issued, as far as that succeeds
    /// `within` the time. Returns whether it is known to be gone.
    pub async fn give_back(&self, secret: Secret, within: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + within;
        self.revoke_token(&Token::new(secret, None), deadline).await
    }

    /// The token in use.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        self.tokens.current().map(|token| Held {
            secret: token.secret.clone(),
            term: token.term,
        })
    }

    /// Whether another login is possible; one with a wrapped secret id is not, nor one with a token that was given.
    #[must_use]
    pub fn can_log_in_again(&self) -> bool {
        self.auth.logs_in() && !self.auth.is_single_use()
    }

    /// Renews the token in use for as long as it was issued for.
    ///
    /// # Errors
    /// [`Error`]; a token that cannot be renewed is refused with status 400.
    pub async fn renew_token(&self, deadline: Instant) -> Result<Term, Error> {
        let mut call = Call::endpoint(Operation::Renew, &RenewTokenSelfRequest::default());
        let body = self.run_held(&mut call, deadline).await?;
        let term = body.as_ref().and_then(|body| Term::of(body.get("auth")?));
        term.ok_or_else(|| {
            let failure = Failure::malformed("the reply does not say how long the token lives");
            Error::before(&call, failure)
        })
    }

    /// Renews a lease for `increment`, as far as the server grants it.
    ///
    /// # Errors
    /// [`Error`]; a lease that is gone is refused with status 400.
    pub async fn renew_lease(
        &self,
        id: &str,
        increment: Duration,
        deadline: Instant,
    ) -> Result<Lease, Error> {
        let increment = Value::Number(increment.as_secs().to_string().into());
        let mut call = lease_call(
            Operation::Renew,
            "sys/leases/renew",
            id,
            Some(("increment", increment)),
        );
        let body = self.run_held(&mut call, deadline).await?;
        body.as_ref().and_then(Lease::of).ok_or_else(|| {
            let failure = Failure::malformed("the reply does not say how long the lease lives");
            Error::before(&call, failure)
        })
    }

    /// Ends a lease. Tokens that are revoked take their leases along, so this is for tokens of others; it needs a policy.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn revoke_lease(&self, id: &str, deadline: Instant) -> Result<(), Error> {
        let mut call = lease_call(Operation::Revoke, "sys/leases/revoke", id, None);
        self.run_held(&mut call, deadline).await.map(drop)
    }

    /// Sends `call` with the token in use, and not with another: what it keeps belongs to this one.
    async fn run_held(&self, call: &mut Call, deadline: Instant) -> Result<Option<Value>, Error> {
        let deadline = deadline.into();
        let token = self
            .tokens
            .current_or_login(&self.client, &self.auth, deadline)
            .await?;
        self.run_with(call, &token, deadline).await
    }
}

fn lease_call(
    operation: Operation,
    path: &str,
    id: &str,
    more: Option<(&'static str, Value)>,
) -> Call {
    let id = ("lease_id".to_owned(), Value::String(id.into()));
    let more = more.map(|(name, value)| (name.to_owned(), value));
    let body = Value::Object([id].into_iter().chain(more).collect());
    Call::post(operation, path, body.to_json())
}
