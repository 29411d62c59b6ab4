//! The end of tokens: nobody waits for it, and a server may be down for long. What is owed is remembered until it is done, so
//! that a process that ends before leaves it to the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envlatch_api::VaultStoreSpec;
use envlatch_vault::{Auth, Client, Secret, Session};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::counters::Counters;
use crate::journal::{now, text, until};
use crate::store::settings;

/// How many tokens may wait. What does not fit lives until it expires.
const MOST: usize = 1024;
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How many are under way at once.
const AT_ONCE: usize = 8;
/// How long to wait between attempts, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));
/// How long it is tried.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long a credential that was replaced goes on working, so that programs have read the new one by then.
const OVERLAP: Duration = Duration::from_secs(300);

/// Memory that survives this process, and that keeps secrets.
pub trait Memory: Send + Sync {
    /// Replaces the record of `key`.
    fn write(&self, key: &str, record: &Secret);

    /// Removes the record of `key`, if there is one.
    fn remove(&self, key: &str);

    /// Every record.
    fn all(&self) -> Vec<Secret>;
}

/// Memory that survives nothing, for who has the tokens elsewhere.
pub(crate) struct NoMemory;

/// A login, and where it was made.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) session: Arc<Session>,
    pub(crate) origin: Arc<Origin>,
}

/// A server as one store describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) store: VaultStoreSpec,
    pub(crate) namespace: Option<String>,
}

/// A token that is to be revoked.
#[derive(Serialize, Deserialize)]
struct Owed {
    token: String,
    /// When, in seconds since 1970
    at: u64,
    origin: Origin,
}

/// Takes logins whose token is to be revoked, and with it every lease that it was issued. Clones are the same.
#[derive(Clone)]
pub(crate) struct Revoker(Arc<Inner>);

struct Inner {
    memory: Arc<dyn Memory>,
    counters: Arc<Counters>,
    places: Semaphore,
    waiting: AtomicUsize,
    /// How many were not tried yet
    untried: watch::Sender<usize>,
}

// === impl Memory ===

impl Memory for NoMemory {
    fn write(&self, _key: &str, _record: &Secret) {}

    fn remove(&self, _key: &str) {}

    fn all(&self) -> Vec<Secret> {
        Vec::new()
    }
}

// === impl Revoker ===

impl Revoker {
    /// Goes on with what an earlier process owed. Must be called in a tokio runtime.
    pub(crate) fn start(counters: Arc<Counters>, memory: Arc<dyn Memory>) -> Self {
        let revoker = Self(Arc::new(Inner {
            counters,
            places: Semaphore::new(AT_ONCE),
            waiting: AtomicUsize::new(0),
            untried: watch::Sender::new(0),
            memory: Arc::clone(&memory),
        }));
        for record in memory.all() {
            let owed = serde_json::from_slice::<Owed>(record.expose());
            // What another version wrote cannot be read; those tokens end by themselves.
            if let Some((login, after)) = owed.ok().and_then(Owed::resumed) {
                revoker.revoke_after(login, after);
            }
        }
        revoker
    }

    pub(crate) fn revoke(&self, login: Login) {
        self.revoke_after(login, Duration::ZERO);
    }

    /// Revokes it when programs no longer use what it was issued.
    pub(crate) fn revoke_later(&self, login: Login) {
        self.revoke_after(login, OVERLAP);
    }

    fn revoke_after(&self, login: Login, after: Duration) {
        if self.0.waiting.fetch_add(1, Ordering::Relaxed) >= MOST {
            // The server has been away for long; the tokens end by themselves.
            self.0.waiting.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let key = self.remember(&login, after);
        let inner = Arc::clone(&self.0);
        if after.is_zero() {
            inner.untried.send_modify(|untried| *untried += 1);
        }
        tokio::spawn(async move {
            if !after.is_zero() {
                sleep(after).await;
                inner.untried.send_modify(|untried| *untried += 1);
            }
            inner.end(&login.session, key.as_deref()).await;
            inner.waiting.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Its key; nothing when there is no token to revoke.
    fn remember(&self, login: &Login, after: Duration) -> Option<String> {
        let owed = Owed {
            token: text(&login.session.held()?.secret)?,
            at: now() + after.as_secs(),
            origin: (*login.origin).clone(),
        };
        let record = Secret::new(serde_json::to_vec(&owed).ok()?);
        let key = format!("revoke {}", owed.token);
        self.0.memory.write(&key, &record);
        Some(key)
    }

    /// Waits until everything that is due was tried, at most so long. What failed is remembered.
    pub(crate) async fn flush(&self, within: Duration) {
        let mut untried = self.0.untried.subscribe();
        // Neither an end of time nor of the sender leaves anything to be done.
        let _ = timeout(within, untried.wait_for(|untried| *untried == 0)).await;
    }
}

// === impl Inner ===

impl Inner {
    /// Until it is done, or was tried for long.
    async fn end(&self, session: &Session, key: Option<&str>) {
        let begin = Instant::now();
        let mut gone = self.attempt(session, key).await;
        self.untried.send_modify(|untried| *untried -= 1);
        let mut pause = PAUSE.0;
        while !gone && begin.elapsed() < PATIENCE {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
            gone = self.attempt(session, key).await;
        }
        self.forget(key);
    }

    fn forget(&self, key: Option<&str>) {
        if let Some(key) = key {
            self.memory.remove(key);
        }
    }

    /// Whether nothing is left to revoke.
    async fn attempt(&self, session: &Session, key: Option<&str>) -> bool {
        let _place = self.places.acquire().await;
        let Some(held) = session.held() else {
            return true;
        };
        if session.revoke(ATTEMPT).await {
            self.counters.revocations.fetch_add(1, Ordering::Relaxed);
            self.forget(key);
            return true;
        }
        // A session forgets the token whose revocation it tried.
        session.adopt(held.secret);
        false
    }
}

// === impl Owed ===

impl Owed {
    fn resumed(self) -> Option<(Login, Duration)> {
        let settings = settings(&self.origin.store, self.origin.namespace.clone()).ok()?;
        let token = Secret::from(self.token.as_str());
        let session = Session::new(Client::new(settings).ok()?, Auth::Token(token.clone()));
        session.adopt(token);
        let login = Login {
            session: Arc::new(session),
            origin: Arc::new(self.origin),
        };
        Some((login, until(self.at)))
    }
}
