//! What the program was issued, and when which of it must be renewed or replaced.
//!
//! A lease is renewed when two thirds of its time are over. A server grants less and less as the maximum comes nearer; when
//! it grants less than two thirds of what it granted first, or nothing can be renewed, everything is replaced while the
//! rest still works.

use std::time::{Duration, Instant};

use crate::holdings::{Holdings, Lease, Token};

/// The holdings of one start, with their times.
#[derive(Default)]
pub(super) struct Ledger {
    tokens: Vec<Entry<Token>>,
    leases: Vec<Entry<Lease>>,
    /// Certificates, and whatever else only ends
    replacements: Vec<Span>,
}

struct Entry<T> {
    held: T,
    /// What was granted first
    granted: Duration,
    span: Span,
    step: Step,
}

/// A time in which something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// When it is due
    pub(super) due: Instant,
    /// When it is too late
    pub(super) end: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Renew,
    Replace,
    Nothing,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(holdings: Holdings, now: Instant) -> Self {
        let has_leases = !holdings.leases.is_empty();
        let tokens = holdings.tokens.into_iter();
        let tokens = tokens.map(|token| Entry::of_token(token, None, has_leases, now));
        let leases = holdings.leases.into_iter();
        let certificates = holdings.certificates.iter();
        Self {
            tokens: tokens.collect(),
            leases: leases
                .map(|lease| Entry::of_lease(lease, None, now))
                .collect(),
            replacements: certificates
                .map(|certificate| Span::new(certificate.left, now))
                .collect(),
        }
    }

    /// The tokens in use.
    pub(super) fn tokens(&self) -> Vec<Token> {
        self.tokens.iter().map(|entry| entry.held.clone()).collect()
    }

    /// Everything that should be given back at the end.
    pub(super) fn holdings(&self) -> Holdings {
        Holdings {
            tokens: self.tokens(),
            leases: self.leases.iter().map(|entry| entry.held.clone()).collect(),
            certificates: Vec::new(),
        }
    }

    /// What is to be renewed by `now`; the tokens come along, because leases are renewed with them.
    pub(super) fn due(&self, now: Instant) -> Option<Holdings> {
        fn renewed<T: Clone>(entries: &[Entry<T>], now: Instant) -> Vec<T> {
            let is_due = |entry: &&Entry<T>| entry.step == Step::Renew && entry.span.due <= now;
            entries
                .iter()
                .filter(is_due)
                .map(|entry| entry.held.clone())
                .collect()
        }
        let holdings = Holdings {
            tokens: renewed(&self.tokens, now),
            leases: renewed(&self.leases, now),
            certificates: Vec::new(),
        };
        (!holdings.tokens.is_empty() || !holdings.leases.is_empty()).then_some(holdings)
    }

    /// When something is to be renewed next.
    pub(super) fn next_renewal(&self) -> Option<Instant> {
        self.spans(Step::Renew).map(|span| span.due).min()
    }

    /// When everything is to be replaced.
    pub(super) fn replacement(&self) -> Option<Span> {
        let only_ends = self.replacements.iter().copied();
        self.spans(Step::Replace)
            .chain(only_ends)
            .min_by_key(|span| span.due)
    }

    /// No more replacements: what could be done was done.
    pub(super) fn give_up_replacing(&mut self) {
        self.replacements.clear();
        let tokens = self.tokens.iter_mut().map(|entry| &mut entry.step);
        for step in tokens.chain(self.leases.iter_mut().map(|entry| &mut entry.step)) {
            if *step == Step::Replace {
                *step = Step::Nothing;
            }
        }
    }

    /// Takes in what a worker renewed, or got by a login.
    pub(super) fn renewed(&mut self, holdings: Holdings, now: Instant) {
        for token in holdings.tokens {
            self.renewed_token(token, now);
        }
        for lease in holdings.leases {
            if let Some(known) = self
                .leases
                .iter_mut()
                .find(|known| known.held.id == lease.id)
            {
                *known = Entry::of_lease(lease, Some(known.granted), now);
            }
        }
    }

    /// The server does not renew this lease any more.
    pub(super) fn lease_gone(&mut self, id: &str, now: Instant) {
        for entry in self.leases.iter_mut().filter(|entry| entry.held.id == id) {
            entry.step = Step::Replace;
            entry.span.due = now;
        }
    }

    /// This lease may not be renewed; what is left of its time is used.
    pub(super) fn lease_denied(&mut self, id: &str, now: Instant) {
        for entry in self.leases.iter_mut().filter(|entry| entry.held.id == id) {
            entry.let_end(Step::Replace, now);
        }
    }

    fn renewed_token(&mut self, token: Token, now: Instant) {
        let has_leases = !self.leases.is_empty();
        let known = self
            .tokens
            .iter_mut()
            .find(|known| known.held.family == token.family);
        let Some(known) = known else {
            return self
                .tokens
                .push(Entry::of_token(token, None, has_leases, now));
        };
        if known.held.secret != token.secret {
            // A worker had to log in anew: the token before is not valid any more, nor is what it was issued.
            for lease in self
                .leases
                .iter_mut()
                .filter(|lease| lease.held.family == token.family)
            {
                lease.step = Step::Replace;
                lease.span.due = now;
            }
            *known = Entry::of_token(token, None, has_leases, now);
        } else if token.left.is_some() {
            *known = Entry::of_token(token, Some(known.granted), has_leases, now);
        } else if !token.renewable {
            let replaces = has_leases && known.held.left.is_some_and(|left| !left.is_zero());
            known.let_end(
                if replaces {
                    Step::Replace
                } else {
                    Step::Nothing
                },
                now,
            );
        }
        // Otherwise a worker that was lent the token, which does not know how long it lives.
    }

    fn spans(&self, wanted: Step) -> impl Iterator<Item = Span> {
        let tokens = self.tokens.iter().map(|entry| (entry.step, entry.span));
        let leases = self.leases.iter().map(|entry| (entry.step, entry.span));
        tokens
            .chain(leases)
            .filter(move |(step, _)| *step == wanted)
            .map(|(_, span)| span)
    }
}

// === impl Entry ===

impl<T> Entry<T> {
    /// No more renewals: `step` comes when two thirds of the time that is left are over.
    fn let_end(&mut self, step: Step, now: Instant) {
        self.step = step;
        self.span = Span::new(self.span.end.saturating_duration_since(now), now);
    }
}

impl Entry<Token> {
    fn of_token(token: Token, granted: Option<Duration>, has_leases: bool, now: Instant) -> Self {
        let (step, span) = match token.left {
            // Given to us: the first renewal tells.
            None => (Step::Renew, Span::now(now)),
            Some(Duration::ZERO) => (Step::Nothing, Span::now(now)),
            Some(left) => match step(left, granted, token.renewable) {
                // Without leases under it, a token that ends is replaced by a login when it is needed again.
                Step::Replace if !has_leases => (Step::Nothing, Span::new(left, now)),
                Step::Replace if granted.is_some() => (
                    Step::Replace,
                    Span {
                        due: now,
                        ..Span::new(left, now)
                    },
                ),
                step => (step, Span::new(left, now)),
            },
        };
        let granted = granted.or(token.left).unwrap_or_default();
        Self {
            held: token,
            granted,
            span,
            step,
        }
    }
}

impl Entry<Lease> {
    fn of_lease(lease: Lease, granted: Option<Duration>, now: Instant) -> Self {
        let step = step(lease.left, granted, lease.renewable);
        let mut span = Span::new(lease.left, now);
        if step == Step::Replace && granted.is_some() {
            span.due = now;
        }
        let granted = granted.unwrap_or(lease.left);
        Self {
            held: lease,
            granted,
            span,
            step,
        }
    }
}

/// Whether something that has `left` to live is renewed once more.
fn step(left: Duration, granted: Option<Duration>, renewable: bool) -> Step {
    let enough = granted.unwrap_or(left) * 2 / 3;
    if renewable && left >= enough {
        Step::Renew
    } else {
        Step::Replace
    }
}

// === impl Span ===

impl Span {
    /// Due when two thirds are over.
    fn new(left: Duration, now: Instant) -> Self {
        // A certificate may outlive what this clock can count.
        let longest = Duration::from_secs(100 * 365 * 24 * 3600);
        let left = left.min(longest);
        Self {
            due: now + left * 2 / 3,
            end: now + left,
        }
    }

    fn now(now: Instant) -> Self {
        Self { due: now, end: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holdings::Certificate;
    use crate::request::Family;

    fn lease(left: u64, renewable: bool) -> Lease {
        Lease {
            family: Family::Vault,
            id: "database/creds/app/x".to_owned(),
            left: Duration::from_secs(left),
            renewable,
        }
    }

    fn with(leases: Vec<Lease>) -> Holdings {
        Holdings {
            leases,
            ..Holdings::default()
        }
    }

    #[test]
    fn leases_are_renewed_until_the_maximum_comes_near() {
        let start = Instant::now();
        let mut ledger = Ledger::new(with(vec![lease(60, true)]), start);
        let mut now = start + Duration::from_secs(40);
        assert_eq!(ledger.next_renewal(), Some(now));
        assert!(ledger.due(now - Duration::from_secs(1)).is_none());
        for (granted, replaced) in [(60, false), (45, false), (39, true)] {
            assert_eq!(ledger.due(now).unwrap().leases.len(), 1);
            ledger.renewed(with(vec![lease(granted, true)]), now);
            let expected = replaced.then(|| Span {
                due: now,
                end: now + Duration::from_secs(granted),
            });
            assert_eq!(ledger.replacement(), expected, "{granted}");
            now = ledger.next_renewal().unwrap_or(now);
        }
        assert!(ledger.due(now + Duration::from_secs(600)).is_none());
    }

    #[test]
    fn what_only_ends_is_replaced_at_two_thirds() {
        let now = Instant::now();
        let certificate = Certificate {
            path: "pki/issue/web".to_owned(),
            left: Duration::from_secs(90),
        };
        let holdings = Holdings {
            certificates: vec![certificate],
            ..with(vec![lease(120, false)])
        };
        let mut ledger = Ledger::new(holdings, now);
        assert_eq!(ledger.next_renewal(), None);
        assert_eq!(
            ledger.replacement().unwrap().due,
            now + Duration::from_secs(60)
        );
        ledger.give_up_replacing();
        assert_eq!(ledger.replacement(), None);
    }

    #[test]
    fn a_lease_that_is_gone_is_replaced_at_once() {
        let now = Instant::now();
        let mut ledger = Ledger::new(with(vec![lease(60, true)]), now);
        let later = now + Duration::from_secs(5);
        ledger.lease_gone("another", later);
        assert_eq!(ledger.replacement(), None);
        ledger.lease_gone("database/creds/app/x", later);
        assert_eq!(ledger.replacement().unwrap().due, later);
    }

    #[test]
    fn a_lease_that_may_not_be_renewed_is_used_to_its_end() {
        let now = Instant::now();
        let mut ledger = Ledger::new(with(vec![lease(90, true)]), now);
        let later = now + Duration::from_secs(60);
        ledger.lease_denied("database/creds/app/x", later);
        assert_eq!(ledger.next_renewal(), None);
        assert_eq!(
            ledger.replacement().unwrap().due,
            later + Duration::from_secs(20)
        );
    }

    #[test]
    fn another_token_means_that_the_leases_are_gone() {
        let now = Instant::now();
        let token = |secret: &str, left, renewable| Token {
            family: Family::Vault,
            secret: secret.into(),
            left,
            renewable,
            ours: true,
            replaceable: true,
        };
        let hour = Some(Duration::from_secs(3600));
        let tokens = |token| Holdings {
            tokens: vec![token],
            ..Holdings::default()
        };
        let mut ledger = Ledger::new(
            Holdings {
                leases: vec![lease(600, true)],
                ..tokens(token("one", hour, true))
            },
            now,
        );
        // What a worker says that was lent it, and what one says that may not renew it.
        ledger.renewed(tokens(token("one", None, true)), now);
        assert_eq!(ledger.replacement(), None);
        ledger.renewed(tokens(token("one", None, false)), now);
        assert_eq!(
            ledger.replacement().unwrap().due,
            now + Duration::from_secs(2400)
        );
        ledger.renewed(tokens(token("two", hour, true)), now);
        assert_eq!(ledger.replacement().unwrap().due, now);
    }

    #[test]
    fn tokens_without_leases_are_never_a_reason_to_act() {
        let token = |left, renewable| Token {
            family: Family::Vault,
            secret: "t".into(),
            left,
            renewable,
            ours: true,
            replaceable: true,
        };
        let now = Instant::now();
        let minute = Some(Duration::from_secs(60));
        for (token, renewal, replacement) in [
            (token(minute, true), true, false),
            (token(minute, false), false, false),
            (token(Some(Duration::ZERO), false), false, false),
            (token(None, false), true, false),
        ] {
            let holdings = Holdings {
                tokens: vec![token.clone()],
                ..Holdings::default()
            };
            let ledger = Ledger::new(holdings, now);
            assert_eq!(ledger.next_renewal().is_some(), renewal, "{token:?}");
            assert_eq!(ledger.replacement().is_some(), replacement, "{token:?}");
        }
        let holdings = Holdings {
            tokens: vec![token(minute, false)],
            ..with(vec![lease(600, true)])
        };
        let ledger = Ledger::new(holdings, now);
        assert_eq!(
            ledger.replacement().unwrap().due,
            now + Duration::from_secs(40)
        );
    }
}
