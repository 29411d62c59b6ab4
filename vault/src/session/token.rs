//! The token of a session, and the one login at a time that replaces it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::auth::{Auth, Way, WrappedSecretId};
use crate::client::Client;
use crate::error::{Class, Error, Failure};
use crate::reply::Term;
use crate::{Secret, Value};

/// A token that was refused right after its login is not replaced again for this long: another one would be refused as well.
const FRESH: Duration = Duration::from_secs(30);

/// A token in use.
pub(super) struct Token {
    pub(super) secret: Secret,
    /// How long it lives from `since` on; `None` when nobody said
    pub(super) term: Option<Term>,
    /// Whether somebody else goes on using it, so that it is not this session's to revoke
    pub(super) lent: bool,
    since: Instant,
    /// Whether it was refused although it was new
    pub(super) denied: AtomicBool,
}

#[derive(Default)]
pub(super) struct Tokens {
    in_use: RwLock<InUse>,
    /// Held during a login
    login: tokio::sync::Mutex<Login>,
    /// How many logins have ended
    ended: AtomicU64,
}

#[derive(Default)]
struct InUse {
    current: Option<Arc<Token>>,
    /// The token that a login replaced: it may live on and hold leases
    previous: Option<Arc<Token>>,
}

/// What one login leaves to the next.
#[derive(Default)]
struct Login {
    failure: Option<Error>,
    /// What was inside the wrapping token, which opens only once
    secret_id: Option<Secret>,
}

// === impl Token ===

impl Token {
    pub(super) fn new(secret: Secret, term: Option<Term>) -> Self {
        Self {
            secret,
            term,
            lent: false,
            since: Instant::now(),
            denied: AtomicBool::new(false),
        }
    }

    /// A token that somebody else goes on using.
    pub(super) fn lent(secret: Secret) -> Self {
        Self {
            lent: true,
            ..Self::new(secret, None)
        }
    }
}

// === impl Tokens ===

impl Tokens {
    pub(super) fn current(&self) -> Option<Arc<Token>> {
        // Each part is replaced as a whole, so a panic elsewhere cannot have broken it.
        self.in_use
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .current
            .clone()
    }

    /// Takes every token out of use.
    pub(super) fn forget(&self) -> impl Iterator<Item = Arc<Token>> + use<> {
        let InUse { current, previous } = std::mem::take(&mut *self.change());
        current.into_iter().chain(previous)
    }

    /// Uses a token that no login of this session got.
    pub(super) fn adopt(&self, token: Token) {
        self.use_from_now_on(Arc::new(token), false);
    }

    fn use_from_now_on(&self, token: Arc<Token>, is_ours: bool) {
        let mut in_use = self.change();
        let replaced = in_use.current.replace(token);
        in_use.previous = replaced.filter(|_| is_ours);
    }

    fn change(&self) -> RwLockWriteGuard<'_, InUse> {
        self.in_use.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn current_or_login(
        &self,
        client: &Client,
        auth: &Auth,
        deadline: Instant,
    ) -> Result<Arc<Token>, Error> {
        match self.current() {
            Some(token) => Ok(token),
            None => self.login(None, client, auth, deadline).await,
        }
    }

    /// A token in place of `refused`, or `None` when no other can be had.
    pub(super) async fn another(
        &self,
        refused: &Arc<Token>,
        client: &Client,
        auth: &Auth,
        deadline: Instant,
    ) -> Result<Option<Arc<Token>>, Error> {
        let hopeless = refused.denied.load(Ordering::Relaxed) && refused.since.elapsed() < FRESH;
        if hopeless || !auth.is_repeatable() {
            return Ok(None);
        }
        let token = self.login(Some(refused), client, auth, deadline).await?;
        Ok((token.secret != refused.secret).then_some(token))
    }

    /// The token that another caller got in the meantime, or a new one.
    async fn login(
        &self,
        refused: Option<&Arc<Token>>,
        client: &Client,
        auth: &Auth,
        deadline: Instant,
    ) -> Result<Arc<Token>, Error> {
        let ended_before = self.ended.load(Ordering::Acquire);
        let mut login = timeout_at(deadline, self.login.lock())
            .await
            .map_err(|_elapsed| {
                let failure = Failure::unreachable("another login did not end in time", false);
                Error::before(&auth.login_in_words(), failure)
            })?;
        let is_refused =
            |token: &Arc<Token>| refused.is_some_and(|refused| Arc::ptr_eq(token, refused));
        if let Some(token) = self.current().filter(|token| !is_refused(token)) {
            return Ok(token);
        }
        // Who waited for a login that failed shares its outcome; more logins would fail too, and may lock an account.
        if self.ended.load(Ordering::Acquire) != ended_before
            && let Some(failure) = &login.failure
        {
            return Err(failure.clone());
        }
        let outcome = login.run(client, auth, deadline).await;
        self.ended.fetch_add(1, Ordering::AcqRel);
        login.failure = outcome.as_ref().err().cloned();
        let token = Arc::new(outcome?);
        self.use_from_now_on(Arc::clone(&token), auth.logs_in());
        Ok(token)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.current().is_some() {
            "present"
        } else {
            "none"
        })
    }
}

// === impl Login ===

impl Login {
    async fn run(
        &mut self,
        client: &Client,
        auth: &Auth,
        deadline: Instant,
    ) -> Result<Token, Error> {
        let before = |failure| Error::before(&auth.login_in_words(), failure);
        if self.secret_id.is_none()
            && let Some(wrapped) = auth.wrapped_secret_id().map_err(before)?
        {
            self.secret_id = Some(unwrap(&wrapped, client, deadline).await?);
        }
        let call = match auth.way(self.secret_id.as_ref()).map_err(before)? {
            Way::Token(token) => return Ok(Token::new(token, None)),
            Way::Login(call) => call,
        };
        let reply = client
            .run(&call, deadline)
            .await
            .map_err(|error| error.denying(auth.description()))?;
        match text_at(reply.as_ref(), ["auth", "client_token"]) {
            Some(token) => {
                let term = reply
                    .as_ref()
                    .and_then(|reply| Term::of(reply.get("auth")?));
                Ok(Token::new(token.clone(), term))
            }
            None => {
                let cause = "the reply to the login holds no token";
                Err(Error::before(&call, Failure::malformed(cause)))
            }
        }
    }
}

/// The secret id inside a wrapping token, once it is certain that the token comes from where secret ids are issued: who put
/// another one in its place would otherwise not be noticed.
async fn unwrap(
    wrapped: &WrappedSecretId,
    client: &Client,
    deadline: Instant,
) -> Result<Secret, Error> {
    let reply = client.run(&wrapped.look_up, deadline).await?;
    let path = text_at(reply.as_ref(), ["data", "creation_path"]).and_then(Secret::expose_str);
    if !path.is_some_and(|path| wrapped.is_issued_at(path)) {
        let failure = Failure::new(
            Class::Denied,
            "the wrapping token was not made for a secret id of this mount",
        )
        .with_remedy("treat the secret id as stolen and issue another");
        return Err(Error::before(&wrapped.look_up, failure));
    }
    let reply = client.run(&wrapped.unwrap, deadline).await?;
    match text_at(reply.as_ref(), ["data", "secret_id"]) {
        Some(secret_id) => Ok(secret_id.clone()),
        None => {
            let failure = Failure::malformed("the reply holds no secret id");
            Err(Error::before(&wrapped.unwrap, failure))
        }
    }
}

/// The text at a place of a reply, if it is not empty.
fn text_at<'a>(reply: Option<&'a Value>, place: [&str; 2]) -> Option<&'a Secret> {
    match reply?.get(place[0])?.get(place[1])? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}
