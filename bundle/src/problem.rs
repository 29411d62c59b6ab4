//! Why there are no files: a word for machines, a text for the user, and a gRPC code for kubelet.

use std::fmt;

use envlatch_vault::{Class, TlsCause};

use crate::store::TERMS;

/// A failure as the user meets it, in an event or a status. It names paths, roles and fields, and never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kubelet gets
    pub code: Code,
    /// One word that tools can match
    pub reason: &'static str,
    /// What failed with what, the cause, and the remedy
    pub message: String,
}

/// The gRPC codes in use. Kubelet tries again after each of them; after [`Unavailable`](Code::Unavailable) and
/// [`ResourceExhausted`](Code::ResourceExhausted) it assumes that the volume may be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// An attribute, a class or a parameter is wrong
    InvalidArgument,
    /// A class, a path or a key does not exist
    NotFound,
    /// A grant is missing, or the server denies
    PermissionDenied,
    /// The node or the cluster is not set up for what is asked
    FailedPrecondition,
    /// A limit is reached
    ResourceExhausted,
    /// It may work later
    Unavailable,
}

// === impl Problem ===

impl Problem {
    /// A failure of a kind of its own; `reason` is one word.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
        }
    }

    /// Something in a class or in the volume's attributes is wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, "InvalidClass", message)
    }

    /// The store does not grant it.
    pub(crate) fn not_granted(message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, "NotGranted", message)
    }

    /// What a server said, or that it said nothing; `who` is role and service account.
    pub(crate) fn of_server(error: &envlatch_vault::Error, who: &str) -> Self {
        let (code, reason) = match error.class() {
            Class::Sealed => (Code::Unavailable, "VaultSealed"),
            Class::Standby => (Code::Unavailable, "VaultStandby"),
            Class::RateLimited => (Code::Unavailable, "VaultRateLimited"),
            Class::Unreachable => (Code::Unavailable, "VaultUnreachable"),
            Class::ServerError => (Code::Unavailable, "VaultFailed"),
            Class::Denied => (Code::PermissionDenied, "VaultPermissionDenied"),
            Class::NotFound => (Code::NotFound, "PathNotFound"),
            Class::Rejected => (Code::InvalidArgument, "VaultRequestRejected"),
            Class::Malformed => (Code::FailedPrecondition, "VaultMalformedReply"),
            Class::Redirected => (Code::FailedPrecondition, "VaultRedirected"),
            Class::Tls(TlsCause::UnknownAuthority) => (Code::FailedPrecondition, "TLSUnknownCA"),
            Class::Tls(TlsCause::Expired) => (Code::FailedPrecondition, "TLSExpired"),
            Class::Tls(TlsCause::WrongName) => (Code::FailedPrecondition, "TLSWrongName"),
            Class::Tls(_) => (Code::FailedPrecondition, "TLSFailed"),
            _ => (Code::FailedPrecondition, "StoreUnusable"),
        };
        Self::new(code, reason, format!("{} [{who}]", error.in_terms(&TERMS)))
    }

    /// Whether the same request may succeed soon without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code == Code::Unavailable
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Problem {}
