//! One identity on the servers: its token, the login that gets it, and what is done with it.
//!
//! Callers may use a session concurrently. One of them logs in while the others wait for the outcome, so a mount sees one login
//! however many reads start together, and a failed one is not repeated by each of those that waited.

mod exchange;
mod token;
mod upkeep;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use vaultrs::api::token::requests::RevokeTokenSelfRequest;

use crate::auth::Auth;
use crate::call::{Call, Operation, texts_in};
use crate::client::Client;
use crate::error::{Class, Error, escaped};
use crate::mint::may_mint;
use crate::reply::Reply;
use crate::report::Severity;
use crate::{Secret, Value, kv, transit};
pub use exchange::Request;
use token::{Token, Tokens};
pub use upkeep::Held;

/// How long a failure may be held back to find out what its path should have been.
const EXPLAIN_WITHIN: Duration = Duration::from_secs(2);

/// An identity, logged in when first needed.
#[derive(Debug)]
pub struct Session {
    client: Client,
    auth: Auth,
    tokens: Tokens,
}

// === impl Session ===

impl Session {
    /// Nothing is sent before it is needed.
    #[must_use]
    pub fn new(client: Client, auth: Auth) -> Self {
        Self {
            client,
            auth,
            tokens: Tokens::default(),
        }
    }

    /// Reads `path` (below `/v1/`), of a KV v2 secret the given or the latest version.
    ///
    /// # Errors
    /// [`Error`]; its class tells whether there is nothing, or why it could not be read before `deadline`.
    pub async fn read(
        &self,
        path: &str,
        version: Option<u32>,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let operation = if may_mint(path) {
            Operation::Mint
        } else {
            Operation::Read
        };
        let mut call = Call::get(operation, path, version);
        let body = match self.run(&mut call, deadline).await {
            Ok(body) => body,
            Err(error) => return Err(self.explained(error, &call).await),
        };
        Reply::of(&call, body, false).map_err(|failure| Error::before(&call, failure))
    }

    /// Writes `arguments`, a JSON object, to `path` (below `/v1/`).
    ///
    /// # Errors
    /// [`Error`]; when [`Error::ambiguous`], the write may have been carried out.
    pub async fn write(
        &self,
        path: &str,
        arguments: &Value,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let mut call = Call::post(Operation::Mint, path, arguments.to_json());
        call.confidential = texts_in(arguments);
        let body = self.run(&mut call, deadline).await?;
        Reply::of(&call, body, true).map_err(|failure| Error::before(&call, failure))
    }

    /// Decrypts with the transit engine, `batch_size` texts in one request; the plaintexts in the same order.
    ///
    /// # Errors
    /// [`Error`]; no plaintext is returned unless all could be decrypted.
    pub async fn decrypt(
        &self,
        mount: &str,
        key: &str,
        ciphertexts: &[Secret],
        batch_size: usize,
        deadline: Instant,
    ) -> Result<Vec<Secret>, Error> {
        let mut plaintexts = Vec::with_capacity(ciphertexts.len());
        for batch in ciphertexts.chunks(batch_size.max(1)) {
            let mut call = transit::decryption(mount, key, batch);
            let body = self.run(&mut call, deadline).await?;
            let page = transit::plaintexts(body.as_ref(), batch.len())
                .map_err(|failure| Error::before(&call, failure))?;
            plaintexts.extend(page);
        }
        Ok(plaintexts)
    }

    /// The token, after a login if there is none yet.
    ///
    /// # Errors
    /// [`Error`] of the login or of the token file.
    pub async fn token(&self, deadline: Instant) -> Result<Secret, Error> {
        let token = self
            .tokens
            .current_or_login(&self.client, &self.auth, deadline.into());
        Ok(token.await?.secret.clone())
    }

    /// Whether the token in use came from a login of this session, so that nobody else uses it.
    #[must_use]
    pub fn owns_token(&self) -> bool {
        self.auth.logs_in() && self.tokens.current().is_some()
    }

    /// Revokes the token in use and the one that it replaced, as far as that succeeds `within` the time, and with them every
    /// lease that they were issued; the next operation logs in anew. A borrowed token is only put aside. Without a token
    /// nothing is sent.
    ///
    /// Returns whether they are known to be gone.
    pub async fn revoke(&self, within: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + within;
        let mut gone = true;
        for token in self.tokens.forget() {
            gone &= !token.lent && self.revoke_token(&token, deadline).await;
        }
        gone
    }

    async fn revoke_token(&self, token: &Token, deadline: tokio::time::Instant) -> bool {
        let call = Call {
            token: Some(token.secret.clone()),
            ..Call::endpoint(Operation::Revoke, &RevokeTokenSelfRequest {})
        };
        match self.client.run(&call, deadline).await {
            Ok(_) => true,
            // A token that the server does not know is gone.
            Err(error) if error.class() == Class::Denied => true,
            Err(error) => {
                self.client.report(
                    Severity::Debug,
                    format_args!("the token stays valid until it expires: {error}"),
                );
                false
            }
        }
    }

    /// Sends `call` with the token; after a denial once more with a new one, if one can be had.
    async fn run(&self, call: &mut Call, deadline: Instant) -> Result<Option<Value>, Error> {
        let deadline = deadline.into();
        let token = self
            .tokens
            .current_or_login(&self.client, &self.auth, deadline)
            .await?;
        let denied = match self.run_with(call, &token, deadline).await {
            Err(error) if error.class() == Class::Denied => error,
            other => return other,
        };
        match self
            .tokens
            .another(&token, &self.client, &self.auth, deadline)
            .await?
        {
            Some(fresh) => {
                let outcome = self.run_with(call, &fresh, deadline).await;
                let denied = matches!(&outcome, Err(error) if error.class() == Class::Denied);
                fresh.denied.store(denied, Ordering::Relaxed);
                outcome
            }
            None => Err(denied),
        }
    }

    async fn run_with(
        &self,
        call: &mut Call,
        token: &Token,
        deadline: tokio::time::Instant,
    ) -> Result<Option<Value>, Error> {
        call.token = Some(token.secret.clone());
        let outcome = self.client.run(call, deadline).await;
        outcome.map_err(|error| error.denying(self.auth.description()))
    }

    /// `error` with the path that was probably meant, when `call` lacks the `data/` of KV version 2. Mostly it is a denial,
    /// because a policy that permits `secret/data/app` says nothing about `secret/app`.
    async fn explained(&self, error: Error, call: &Call) -> Error {
        let absent = matches!(error.class(), Class::Denied | Class::NotFound);
        if !absent || call.token.is_none() || kv::is_addressed_as_version_2(&call.path) {
            return error;
        }
        let question = Call {
            token: call.token.clone(),
            ..Call::get(Operation::Read, &kv::mount_question(&call.path), None)
        };
        let deadline = tokio::time::Instant::now() + EXPLAIN_WITHIN;
        let reply = self.client.run(&question, deadline).await.ok().flatten();
        match reply.and_then(|reply| kv::path_with_data(&reply, &call.path)) {
            Some(meant) => error.with_remedy(format!(
                "its engine is KV version 2: did you mean {}",
                escaped(&meant)
            )),
            None => error,
        }
    }
}
