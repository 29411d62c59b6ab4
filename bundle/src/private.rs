//! The login of one volume: for what comes with a lease, and for every request that is not a read of a key-value engine.
//!
//! What it was issued is kept, not asked for again: leases and the token are renewed at two thirds of their time, without waiting
//! for kubelet. When the end cannot be put off any more, the volume gets new credentials under a new login before the old ones
//! end. Revoking the token takes every lease along.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use envlatch_vault::{Lease, Secret, Session};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::journal::{PrivateState, TermState};
use crate::plan::Ask;
use crate::request::Token;
use crate::revoker::Login;
use crate::server::{Answer, Server};
use crate::shared::{auth, renew};
use crate::store::Access;
use crate::term::Term;

/// How long one renewal may take.
const RENEWAL: Duration = Duration::from_secs(15);
/// How long a lease lives that the server does not end: it gives no time for it.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86400);
/// How often the upkeep looks whether there is something new to keep.
const IDLE: Duration = Duration::from_secs(3600);

/// The login of one volume and what it was issued.
pub(crate) struct Private {
    pub(crate) session: Arc<Session>,
    server: Arc<Server>,
    jwt: Arc<RwLock<Secret>>,
    held: Mutex<Held>,
    upkeep: Mutex<Option<AbortHandle>>,
}

struct Held {
    kept: Vec<Kept>,
    /// The token itself; `None` until there is one, or when it never ends
    token: Option<Term>,
}

/// Something that was issued and is not asked for again while it lives.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) ask: Ask,
    pub(crate) answer: Arc<Answer>,
    pub(crate) lease: Option<Lease>,
    pub(crate) term: Term,
}

/// Something that was issued for one holder and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The server's name of the lease; a certificate has none
    pub lease: Option<String>,
    /// Where it was issued
    pub path: String,
    /// When it ends unless it is renewed
    pub expires: SystemTime,
    /// When it ends for good, as far as that is known: with its token at the latest, unless that is renewed
    pub ends: Option<SystemTime>,
}

// === impl Private ===

impl Private {
    /// A login that is made as whoever has `jwt`.
    pub(crate) fn new(access: &Access, jwt: &Secret, server: &Arc<Server>) -> Self {
        let jwt = Arc::new(RwLock::new(jwt.clone()));
        Self {
            session: Arc::new(Session::new(server.client.clone(), auth(access, &jwt))),
            server: Arc::clone(server),
            jwt,
            held: Mutex::new(Held {
                kept: Vec::new(),
                token: None,
            }),
            upkeep: Mutex::new(None),
        }
    }

    /// Continues what an earlier process had. Nobody renewed it meanwhile, so that is done soon: within a sixth of its time, `share` of
    /// which is waited for, so that those who are continued together do not come together.
    pub(crate) fn resumed(
        access: &Access,
        jwt: &Secret,
        server: &Arc<Server>,
        state: &PrivateState,
        share: f64,
    ) -> Self {
        let private = Self::new(access, jwt, server);
        private.session.adopt(state.token());
        let mut held = private.held();
        held.token = state.term.map(|term| Term::resumed(term, share));
        for (ask, answer, term) in state.kept() {
            let Some(mut kept) = Kept::of(ask, Arc::new(answer)) else {
                continue;
            };
            // A certificate says itself when it ends.
            if kept.lease.is_some() {
                kept.term = Term::resumed(term, share);
            }
            held.kept.push(kept);
        }
        drop(held);
        private
    }

    pub(crate) fn login(&self) -> Login {
        Login {
            session: Arc::clone(&self.session),
            origin: Arc::clone(&self.server.origin),
        }
    }

    pub(crate) fn renew_jwt(&self, token: &Token) {
        renew(&self.jwt, token);
    }

    /// What was issued for `ask`.
    pub(crate) fn kept(&self, ask: &Ask) -> Option<Arc<Answer>> {
        let held = self.held();
        held.kept
            .iter()
            .find(|kept| kept.ask == *ask)
            .map(|kept| Arc::clone(&kept.answer))
    }

    /// How long the token lives, if it ends.
    pub(crate) fn token_term(&self) -> Option<TermState> {
        self.held().token.map(Term::state)
    }

    pub(crate) fn all_kept(&self) -> Vec<Kept> {
        self.held().kept.clone()
    }

    /// Keeps an answer that came with a lease, or that is a certificate.
    pub(crate) fn keep(&self, ask: &Ask, answer: &Arc<Answer>) {
        let Some(kept) = Kept::of(ask.clone(), Arc::clone(answer)) else {
            return;
        };
        let token = self
            .session
            .held()
            .and_then(|held| held.term)
            .filter(|term| !term.duration.is_zero());
        let mut held = self.held();
        // The token came with the first of them; what is known about it later is older than what is held.
        if held.kept.is_empty() && held.token.is_none() {
            held.token = token.map(|term| Term::new(term.duration, term.renewable));
        }
        held.kept.retain(|earlier| earlier.ask != *ask);
        held.kept.push(kept);
    }

    /// Whether something that was issued ends soon and cannot be renewed.
    pub(crate) fn must_be_replaced(&self) -> bool {
        let held = self.held();
        !held.kept.is_empty()
            && held
                .terms()
                .any(|term| term.is_last() && Instant::now() >= term.replace_at())
    }

    /// What was issued and is still held.
    pub(crate) fn issued(&self) -> Vec<Issued> {
        let held = self.held();
        let wall =
            |then: Instant| SystemTime::now() + then.saturating_duration_since(Instant::now());
        let token = held.token.map(|term| wall(term.ends));
        let issued = held.kept.iter().map(|kept| {
            let own = kept.term.is_last().then(|| wall(kept.term.ends));
            Issued {
                lease: kept.lease.as_ref().map(|lease| lease.id.clone()),
                path: kept.ask.path.clone(),
                expires: wall(kept.term.ends),
                ends: own.into_iter().chain(token).min(),
            }
        });
        issued.collect()
    }

    /// When something about it changes next: a renewal, or the time to replace it.
    pub(crate) fn changes(&self) -> Option<Instant> {
        let held = self.held();
        let terms = held.terms().filter(|_| !held.kept.is_empty());
        terms.map(|term| term.changes()).min()
    }

    /// Renews what is held until the volume is gone.
    pub(crate) fn start_upkeep(self: &Arc<Self>) {
        let task = tokio::spawn(keep_up(Arc::downgrade(self))).abort_handle();
        let earlier = self
            .upkeep
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(task);
        if let Some(earlier) = earlier {
            earlier.abort();
        }
    }

    fn next_renewal(&self) -> Instant {
        let first = self.held().terms().filter_map(|term| term.renew).min();
        first.unwrap_or_else(|| Instant::now() + IDLE)
    }

    async fn renew_due(&self) {
        let now = Instant::now();
        let is_due = |term: &Term| term.renew.is_some_and(|then| then <= now);
        let leases: Vec<Kept> = self
            .held()
            .kept
            .iter()
            .filter(|kept| is_due(&kept.term))
            .cloned()
            .collect();
        for kept in leases {
            let Some(lease) = &kept.lease else { continue };
            let whole = kept.term.whole;
            let deadline = (Instant::now() + RENEWAL).into_std();
            let renewal = self.session.renew_lease(&lease.id, whole, deadline);
            let outcome = self.server.renew(renewal).await;
            let term = kept
                .term
                .after(outcome.map(|renewed| renewed.duration), true);
            if let Some(kept) = self
                .held()
                .kept
                .iter_mut()
                .find(|other| other.ask == kept.ask)
            {
                kept.term = term;
            }
        }
        let token = self.held().token.filter(is_due);
        if let Some(term) = token {
            let deadline = (Instant::now() + RENEWAL).into_std();
            let outcome = self.server.renew(self.session.renew_token(deadline)).await;
            let forever = outcome.as_ref().is_ok_and(|term| term.duration.is_zero());
            let term = term.after(outcome.map(|term| term.duration), false);
            self.held().token = Some(term).filter(|_| !forever);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Every change replaces whole items, so a panic elsewhere cannot have broken it.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let task = self
            .upkeep
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            task.abort();
        }
    }
}

async fn keep_up(private: Weak<Private>) {
    loop {
        let Some(next) = private.upgrade().map(|private| private.next_renewal()) else {
            return;
        };
        sleep_until(next).await;
        let Some(private) = private.upgrade() else {
            return;
        };
        private.renew_due().await;
    }
}

// === impl Held ===

impl Held {
    fn terms(&self) -> impl Iterator<Item = Term> {
        self.kept.iter().map(|kept| kept.term).chain(self.token)
    }
}

// === impl Kept ===

impl Kept {
    fn of(ask: Ask, answer: Arc<Answer>) -> Option<Self> {
        let term = match (&answer.reply.lease, answer.reply.expiration) {
            (Some(lease), _) if lease.duration.is_zero() => Term::new(FOREVER, false),
            (Some(lease), _) => Term::new(lease.duration, lease.renewable),
            (None, Some(expiration)) => {
                let left = (UNIX_EPOCH + Duration::from_secs(expiration))
                    .duration_since(SystemTime::now());
                Term::new(left.unwrap_or_default(), false)
            }
            (None, None) => return None,
        };
        Some(Self {
            ask,
            lease: answer.reply.lease.clone(),
            answer,
            term,
        })
    }
}
