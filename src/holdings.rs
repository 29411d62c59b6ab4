//! What a start was issued by servers and still uses: tokens, leases and certificates, each with the time it has left.

use std::time::Duration;

use envlatch_secret::Secret;

use crate::request::Family;

/// Everything that one start was issued.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holdings {
    pub(crate) tokens: Vec<Token>,
    pub(crate) leases: Vec<Lease>,
    pub(crate) certificates: Vec<Certificate>,
}

/// The token of one family of servers.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) family: Family,
    pub(crate) secret: Secret,
    /// How long it lives; zero is for ever, `None` is not known
    pub(crate) left: Option<Duration>,
    pub(crate) renewable: bool,
    /// Whether we logged in for it, so that nobody else uses it
    pub(crate) ours: bool,
    /// Whether another login is possible
    pub(crate) replaceable: bool,
}

/// A dynamic secret.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) family: Family,
    pub(crate) id: String,
    pub(crate) left: Duration,
    pub(crate) renewable: bool,
}

/// Something that expires and cannot be renewed.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) path: String,
    pub(crate) left: Duration,
}

/// What became of holdings that were to be renewed.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    /// With the time that they have now
    pub(crate) renewed: Holdings,
    /// Leases that the server does not renew any more, by their names
    pub(crate) gone_leases: Vec<String>,
    /// Leases that may not be renewed, by their names
    pub(crate) denied_leases: Vec<String>,
    /// Why something has to be tried again
    pub(crate) failure: Option<String>,
}

// === impl Holdings ===

impl Holdings {
    /// The token of a family.
    pub(crate) fn token(&self, family: Family) -> Option<&Token> {
        self.tokens.iter().find(|token| token.family == family)
    }
}
