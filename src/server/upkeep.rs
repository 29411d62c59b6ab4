//! What a launcher that stays does with tokens and leases: hand them from one worker to the next, renew, give back.

use std::time::{Duration, Instant, SystemTime};

use envlatch_vault::{Class, Error, Session};

use super::{Issued, Server};
use crate::holdings::{Certificate, Holdings, Lease, Renewal, Token};
use crate::request::Family;

/// How long one attempt to renew may take; then the launcher waits a little and tries again.
const RENEW_WITHIN: Duration = Duration::from_secs(20);

/// How long giving everything back may take.
const GIVE_BACK_WITHIN: Duration = Duration::from_millis(1500);

// === impl Server ===

impl Server {
    /// Uses these tokens instead of a login. They stay valid whatever becomes of this process.
    pub(crate) fn borrow(&self, tokens: &[Token]) {
        for (family, session) in &self.identities {
            let token = tokens.iter().find(|token| token.family == *family);
            if let Some(token) = token {
                session.borrow(token.secret.clone());
            }
        }
    }

    /// The program is about to start, and the launcher keeps what was issued: signals are the program's from here on.
    pub(crate) fn stand_back(&self) {
        self.stop_watching();
    }

    /// Everything that was issued, and the tokens in use.
    pub(crate) fn holdings(&self) -> Holdings {
        let held = |(family, session): &(Family, Session)| {
            let held = session.held()?;
            Some(Token {
                family: *family,
                left: held.term.map(|term| term.duration),
                renewable: held.term.is_none_or(|term| term.renewable),
                ours: self.revoke_token.unwrap_or_else(|| session.owns_token()),
                replaceable: session.can_log_in_again(),
                secret: held.secret,
            })
        };
        Holdings {
            tokens: self.identities.iter().filter_map(held).collect(),
            leases: self.issued.iter().filter_map(lease).collect(),
            certificates: self.issued.iter().filter_map(certificate).collect(),
        }
    }

    /// Renews every token and every lease, with the tokens that were borrowed.
    pub(crate) fn renew(&self, due: &Holdings) -> Renewal {
        let deadline = Instant::now() + RENEW_WITHIN;
        let mut renewal = Renewal::default();
        for token in &due.tokens {
            let outcome = self
                .runtime
                .block_on(self.session(token.family).renew_token(deadline));
            let (left, renewable) = match outcome {
                Ok(term) => (Some(term.duration), term.renewable),
                // A policy may permit everything but this, and a root token has no end. One that is not valid any more is
                // told by its leases, and by the next read.
                Err(error) if is_final(&error) => (None, false),
                Err(error) => {
                    renewal.failure = Some(error.to_string());
                    continue;
                }
            };
            renewal.renewed.tokens.push(Token {
                left,
                renewable,
                ..token.clone()
            });
        }
        for lease in &due.leases {
            let session = self.session(lease.family);
            let renewed = session.renew_lease(&lease.id, lease.left, deadline);
            match self.runtime.block_on(renewed) {
                Ok(renewed) => renewal.renewed.leases.push(Lease {
                    left: renewed.duration,
                    renewable: renewed.renewable,
                    ..lease.clone()
                }),
                // It lives on, for all we know.
                Err(error) if error.class() == Class::Denied => {
                    renewal.denied_leases.push(lease.id.clone());
                }
                Err(error) if is_final(&error) => renewal.gone_leases.push(lease.id.clone()),
                Err(error) => renewal.failure = Some(error.to_string()),
            }
        }
        renewal
    }

    /// Revokes tokens that are ours, which takes their leases along, and each lease of the others.
    pub(crate) fn give_back(&self, holdings: &Holdings) {
        let deadline = Instant::now() + GIVE_BACK_WITHIN;
        let is_others = |lease: &&Lease| {
            let token = holdings.token(lease.family);
            token.is_some_and(|token| !token.ours)
        };
        let tokens = holdings.tokens.iter().filter(|token| token.ours);
        let tokens = tokens.map(|token| {
            self.session(token.family)
                .give_back(token.secret.clone(), GIVE_BACK_WITHIN)
        });
        let leases = holdings.leases.iter().filter(is_others);
        let leases =
            leases.map(|lease| self.session(lease.family).revoke_lease(&lease.id, deadline));
        self.runtime.block_on(async {
            futures_util::future::join(
                futures_util::future::join_all(tokens),
                futures_util::future::join_all(leases),
            )
            .await
        });
    }
}

/// Whether asking again would not help.
fn is_final(error: &Error) -> bool {
    matches!(
        error.class(),
        Class::Denied | Class::NotFound | Class::Rejected
    )
}

fn lease(issued: &Issued) -> Option<Lease> {
    let lease = issued.lease.as_ref()?;
    Some(Lease {
        family: issued.family,
        id: lease.id.clone(),
        left: lease.duration,
        renewable: lease.renewable,
    })
}

fn certificate(issued: &Issued) -> Option<Certificate> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let expiration = Duration::from_secs(issued.expiration?);
    Some(Certificate {
        path: issued.path.clone(),
        left: expiration.saturating_sub(now.unwrap_or_default()),
    })
}
