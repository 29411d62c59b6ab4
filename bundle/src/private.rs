//! The login of one volume: for what comes with a lease, and for every request that is not a read of a key-value engine.
//!
//! What it was issued is kept, not asked for again: leases and the token are renewed at two thirds of their time, without waiting
//! for kubelet. When the end cannot be put off any more, the volume gets new credentials under a new login a third of their time
//! before the old ones end. Revoking the token takes every lease along.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use envlatch_vault::{Class, Error, Lease, Secret, Session};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::journal::{PrivateState, TermState};
use crate::plan::Ask;
use crate::request::Token;
use crate::server::{Answer, Server};
use crate::shared::{auth, renew};
use crate::store::Access;

/// How long one renewal may take.
const RENEWAL: Duration = Duration::from_secs(15);
/// How soon a failed renewal is repeated, at most and at least.
const REPEAT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// What a renewal may give less than was asked for because times are whole seconds.
const SLACK: Duration = Duration::from_secs(2);
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
    term: Term,
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

/// How long something lives.
#[derive(Clone, Copy)]
struct Term {
    /// When to renew it; `None` when that is impossible
    renew: Option<Instant>,
    ends: Instant,
    /// What it was issued for
    whole: Duration,
    /// Whether `ends` cannot be put off any more
    last: bool,
}

// === impl Private ===

impl Private {
    pub(crate) fn new(access: &Access, jwt: Secret, server: &Arc<Server>) -> Self {
        let jwt = Arc::new(RwLock::new(jwt));
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
    pub(crate) fn resume(&self, state: &PrivateState, share: f64) {
        self.session.adopt(state.token());
        let mut held = self.held();
        held.token = state.term.map(|term| Term::resumed(term, share));
        for (ask, answer, term) in state.kept() {
            let answer = Arc::new(answer);
            let Some(mut kept) = Kept::of(ask, answer) else {
                continue;
            };
            // A certificate says itself when it ends.
            if kept.lease.is_some() {
                kept.term = Term::resumed(term, share);
            }
            held.kept.push(kept);
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
        held.token = token.map(|term| Term::new(term.duration, term.renewable));
        held.kept.retain(|earlier| earlier.ask != *ask);
        held.kept.push(kept);
    }

    /// Whether something that was issued ends soon and cannot be renewed.
    pub(crate) fn must_be_replaced(&self) -> bool {
        let held = self.held();
        !held.kept.is_empty()
            && held
                .terms()
                .any(|term| term.last && Instant::now() + term.whole / 3 >= term.ends)
    }

    /// What was issued and is still held.
    pub(crate) fn issued(&self) -> Vec<Issued> {
        let held = self.held();
        let wall =
            |then: Instant| SystemTime::now() + then.saturating_duration_since(Instant::now());
        let token = held.token.map(|term| wall(term.ends));
        let issued = held.kept.iter().map(|kept| {
            let own = kept.term.last.then(|| wall(kept.term.ends));
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
        terms
            .map(|term| match term.renew {
                Some(renew) if !term.last => renew,
                _ => term.ends - term.whole / 3,
            })
            .min()
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
            let outcome = self
                .session
                .renew_lease(&lease.id, whole, (Instant::now() + RENEWAL).into_std())
                .await;
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
            self.server
                .counters()
                .renewals
                .fetch_add(1, Ordering::Relaxed);
        }
        let token = self.held().token.filter(is_due);
        if let Some(term) = token {
            let outcome = self
                .session
                .renew_token((Instant::now() + RENEWAL).into_std())
                .await;
            let forever = outcome.as_ref().is_ok_and(|term| term.duration.is_zero());
            let term = term.after(outcome.map(|term| term.duration), false);
            self.held().token = Some(term).filter(|_| !forever);
            self.server
                .counters()
                .renewals
                .fetch_add(1, Ordering::Relaxed);
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
    pub(crate) fn term(&self) -> TermState {
        self.term.state()
    }

    fn of(ask: Ask, answer: Arc<Answer>) -> Option<Self> {
        let term = match (&answer.reply.lease, answer.reply.expiration) {
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

// === impl Term ===

impl Term {
    fn new(whole: Duration, renewable: bool) -> Self {
        let now = Instant::now();
        Self {
            renew: renewable.then(|| now + whole * 2 / 3),
            ends: now + whole,
            whole,
            last: !renewable,
        }
    }

    /// What an earlier process journalled. Clocks can have been set meanwhile, so nothing has more time left than it was given, and
    /// what seems to have ended is renewed before it is believed.
    fn resumed(state: TermState, share: f64) -> Self {
        let now = Instant::now();
        let whole = Duration::from_secs(state.whole);
        let left = (UNIX_EPOCH + Duration::from_secs(state.ends)).duration_since(SystemTime::now());
        let left = left.unwrap_or_default().min(whole);
        let renew = left
            .saturating_sub(whole / 3)
            .min(whole.mul_f64(share / 6.0));
        Self {
            renew: (!state.last).then(|| now + renew),
            ends: now + left,
            whole,
            last: state.last,
        }
    }

    fn state(self) -> TermState {
        let left = self.ends.saturating_duration_since(Instant::now());
        let ends = (SystemTime::now() + left).duration_since(UNIX_EPOCH);
        TermState {
            ends: ends.unwrap_or_default().as_secs(),
            whole: self.whole.as_secs(),
            last: self.last,
        }
    }

    /// The term after a renewal that gave so much time, or failed.
    /// A lease that is refused is gone, while a token may only be one that cannot be renewed.
    fn after(self, outcome: Result<Duration, Error>, refused_is_gone: bool) -> Self {
        let now = Instant::now();
        match outcome {
            // Less than was asked for: the maximum is near, and the next renewal would give less still.
            Ok(granted) => {
                let last = granted + (self.whole / 10).max(SLACK) < self.whole;
                Self {
                    renew: (!last).then(|| now + granted * 2 / 3),
                    ends: now + granted,
                    last,
                    ..self
                }
            }
            Err(error)
                if matches!(
                    error.class(),
                    Class::Denied | Class::NotFound | Class::Rejected
                ) =>
            {
                Self {
                    renew: None,
                    last: true,
                    ends: if refused_is_gone { now } else { self.ends },
                    ..self
                }
            }
            Err(_) => Self {
                renew: Some(now + (self.whole / 12).clamp(REPEAT.0, REPEAT.1)),
                ..self
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: u64 = 600;

    /// When something is renewed and ends, by a clock that says that this many seconds are left.
    fn resumed(left: i64, last: bool) -> (Option<u64>, u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let ends = now
            .unwrap_or_default()
            .as_secs()
            .saturating_add_signed(left);
        let state = TermState {
            ends,
            whole: WHOLE,
            last,
        };
        let term = Term::resumed(state, 1.0);
        let from_now = |at: Instant| (at - Instant::now()).as_secs_f64().round() as u64;
        (term.renew.map(from_now), from_now(term.ends))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_continued_is_renewed_soon_whatever_the_clock_says() {
        // Not later than a sixth of its time, and before a third of it is left.
        let (renew, ends) = resumed(500, false);
        assert_eq!(renew, Some(100));
        assert!((499..=500).contains(&ends), "{ends}");
        let (renew, _) = resumed(210, false);
        assert!(matches!(renew, Some(9..=10)), "{renew:?}");
        // The clock was set an hour back: nothing has more left than it was given.
        assert_eq!(resumed(3600, false), (Some(100), WHOLE));
        // It was set an hour forward: what seems to have ended is renewed before that is believed.
        assert_eq!(resumed(-3600, false), (Some(0), 0));
        // What cannot be renewed any more is not.
        assert_eq!(resumed(500, true).0, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_gives_less_is_the_last() {
        let whole = Duration::from_secs(WHOLE);
        let after = |granted: u64| {
            let term = Term::new(whole, true).after(Ok(Duration::from_secs(granted)), true);
            (term.last, term.renew.is_some())
        };
        assert_eq!(after(600), (false, true));
        assert_eq!(after(599), (false, true));
        assert_eq!(after(541), (false, true));
        assert_eq!(after(539), (true, false));
        assert_eq!(after(0), (true, false));
    }
}
