//! What went wrong with an operation, as one line for a person and a [`Class`] for a program.

mod reasons;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::call::{Call, Operation};
use crate::terms::Terms;

pub(crate) use reasons::{Reasons, escaped};

/// Why an operation did not succeed. Its text is one line, without any credential or value.
#[derive(Clone)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    operation: Operation,
    path: String,
    /// Empty when no server was asked
    address: String,
    failure: Failure,
    attempts: u32,
    /// What happened at the other servers
    elsewhere: Vec<String>,
    identity: Option<String>,
}

/// The kinds of failure, each with one remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The server is sealed or not initialised.
    Sealed,
    /// The server is a standby that does not answer, or lags behind.
    Standby,
    /// There were too many requests.
    RateLimited,
    /// The login or the token was refused.
    Denied,
    /// There is definitely nothing: no such path, or a deleted version.
    NotFound,
    /// The reply is not what a server of this kind sends.
    Malformed,
    /// No connection, or no reply in time.
    Unreachable,
    /// No TLS session.
    Tls(TlsCause),
    /// The request itself was refused (400 and similar).
    Rejected,
    /// The server failed.
    ServerError,
    /// A redirect was not followed.
    Redirected,
    /// A setting or a credential file cannot be used.
    Setting,
}

/// Why there is no TLS session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsCause {
    /// The server's certificate has expired.
    Expired,
    /// The server's certificate is not valid yet.
    NotYetValid,
    /// The server's certificate is for other names.
    WrongName,
    /// No trusted authority signed the server's certificate.
    UnknownAuthority,
    /// The server does not speak TLS on this port.
    Plaintext,
    /// The connection ended during the handshake.
    HandshakeCut,
    /// No common protocol version or cipher.
    ProtocolVersion,
    /// The server wants a client certificate, or refuses the one it got.
    ClientCertificate,
    /// Anything else that is wrong with the certificate or the handshake.
    Other,
}

/// One request that failed, or one that could not be made.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    pub(crate) status: Option<u16>,
    /// What happened, without a credential
    pub(crate) cause: String,
    /// Instead of the remedy of the class
    pub(crate) remedy: Option<Remedy>,
    /// Whether the server may have done what it was asked
    pub(crate) executed: bool,
    pub(crate) next: Next,
    /// How long the server asks to wait
    pub(crate) retry_after: Option<Duration>,
}

/// What to do about a failure.
#[derive(Clone, Debug)]
pub(crate) enum Remedy {
    Text(Cow<'static, str>),
    /// One that names settings
    In(fn(&Terms) -> String),
}

/// What may follow a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Any server may do better in a while.
    Repeat,
    /// Another server may do better, this one will not.
    OtherServer,
    /// It is final.
    GiveUp,
}

// === impl Error ===

impl Error {
    /// A call that never left.
    pub(crate) fn before(call: &Call, failure: Failure) -> Self {
        Self::after(call, String::new(), failure, 0, Vec::new())
    }

    /// A call that failed at `address` in the last of several `attempts`.
    pub(crate) fn after(
        call: &Call,
        address: String,
        failure: Failure,
        attempts: u32,
        elsewhere: Vec<String>,
    ) -> Self {
        Self(Box::new(Details {
            operation: call.operation,
            path: call.path.clone(),
            address,
            failure,
            attempts,
            elsewhere,
            identity: None,
        }))
    }

    /// Says in the text who was denied.
    pub(crate) fn denying(mut self, identity: String) -> Self {
        self.0.identity = Some(identity);
        self
    }

    pub(crate) fn with_remedy(mut self, remedy: String) -> Self {
        self.0.failure.remedy = Some(Remedy::Text(remedy.into()));
        self
    }

    /// The text, with a remedy that names settings as `terms` does; without this, as the environment names them.
    #[must_use]
    pub fn in_terms(&self, terms: &Terms) -> impl fmt::Display {
        fmt::from_fn(move |f| self.write(f, terms))
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn class(&self) -> Class {
        self.0.failure.class
    }

    /// Whether the server may have done what was asked although no reply says so; only for operations that change something.
    #[must_use]
    pub fn ambiguous(&self) -> bool {
        self.0.failure.executed && !self.0.operation.is_repeatable()
    }

    /// The status of the reply, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.failure.status
    }

    /// How long the server asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.failure.retry_after
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, terms: &Terms) -> fmt::Result {
        let details = &*self.0;
        let failure = &details.failure;
        write!(f, "cannot {} {}", details.operation, escaped(&details.path))?;
        if !details.address.is_empty() {
            write!(f, " at {}", details.address)?;
        }
        if let (Class::Denied, Some(identity)) = (failure.class, &details.identity) {
            write!(f, " as {}", escaped(identity))?;
        }
        write!(f, ": {}", failure.cause)?;
        if let Some(status) = failure.status {
            write!(f, " (status {status})")?;
        }
        if details.attempts > 1 {
            write!(f, ", after {} attempts", details.attempts)?;
        }
        for other in &details.elsewhere {
            write!(f, "; {other}")?;
        }
        if self.ambiguous() {
            f.write_str(", and it may have been carried out")?;
        }
        let remedy = match &failure.remedy {
            Some(Remedy::Text(text)) => Some(text.clone()),
            Some(Remedy::In(remedy)) => Some(remedy(terms).into()),
            None => failure.class.remedy(details.operation, terms),
        };
        match remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &Terms::ENVIRONMENT)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.class())
    }
}

// === impl Class ===

impl Class {
    fn remedy(self, operation: Operation, terms: &Terms) -> Option<Cow<'static, str>> {
        let Terms {
            addresses,
            redirect_hosts,
            ..
        } = terms;
        Some(match self {
            Self::Sealed => "unseal the server, or wait until it is".into(),
            Self::Standby => {
                format!("wait for an active server, or name further addresses in {addresses}").into()
            }
            Self::RateLimited => "raise the server's quota, or start fewer programs at once".into(),
            Self::Denied if operation == Operation::Login => {
                "check the mount, the role, what it is bound to, and the credential".into()
            }
            Self::Denied if operation.presents_credential() => {
                "issue another wrapping token; if this one was not used by you, its secret id is stolen".into()
            }
            Self::Denied => "check its policies, and that it has not expired".into(),
            Self::NotFound => "check the path".into(),
            Self::Malformed => format!(
                "check that {addresses} leads to the server itself and not to something in front of it"
            )
            .into(),
            Self::Unreachable => format!("check {addresses}, the network and the server").into(),
            Self::Tls(cause) => return cause.remedy(terms),
            Self::ServerError => "see the server's log".into(),
            Self::Redirected => format!("put the other host into {redirect_hosts}").into(),
            Self::Rejected | Self::Setting => return None,
        })
    }
}

// === impl TlsCause ===

impl TlsCause {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Expired => "the server's certificate has expired",
            Self::NotYetValid => "the server's certificate is not valid yet",
            Self::WrongName => "the server's certificate is for another name",
            Self::UnknownAuthority => "the server's certificate is signed by an unknown authority",
            Self::Plaintext => "the server does not speak TLS on this port",
            Self::HandshakeCut => "the connection ended during the TLS handshake",
            Self::ProtocolVersion => {
                "the server offers no TLS version or cipher that is still safe"
            }
            Self::ClientCertificate => "the server requires a client certificate or refused ours",
            Self::Other => "the TLS handshake failed",
        }
    }

    fn remedy(self, terms: &Terms) -> Option<Cow<'static, str>> {
        let Terms {
            addresses,
            ca,
            server_name,
            ..
        } = terms;
        Some(match self {
            Self::Expired => "renew it, or correct this machine's clock".into(),
            Self::NotYetValid => {
                "correct the clock of this machine or of the one that issued it".into()
            }
            Self::WrongName => {
                format!("use one of its names in {addresses}, or set {server_name}").into()
            }
            Self::UnknownAuthority => format!("set {ca} to the authority that signed it").into(),
            Self::Plaintext => format!("write http:// in {addresses}, or correct the port").into(),
            Self::HandshakeCut => {
                "check for a proxy or firewall in between, and the server's log".into()
            }
            Self::ProtocolVersion => "enable TLS 1.2 or 1.3 on the server".into(),
            Self::ClientCertificate => terms.client_certificate.into(),
            Self::Other => return None,
        })
    }
}

// === impl Failure ===

impl Failure {
    /// A final failure of something that was not carried out.
    pub(crate) fn new(class: Class, cause: impl Into<String>) -> Self {
        Self {
            class,
            status: None,
            cause: cause.into(),
            remedy: None,
            executed: false,
            next: Next::GiveUp,
            retry_after: None,
        }
    }

    pub(crate) fn with_remedy(self, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self {
            remedy: Some(Remedy::Text(remedy.into())),
            ..self
        }
    }

    /// The same for a remedy that names settings.
    pub(crate) fn with_remedy_in(self, remedy: fn(&Terms) -> String) -> Self {
        Self {
            remedy: Some(Remedy::In(remedy)),
            ..self
        }
    }

    /// The server answered something that cannot be used, so it may have done what was asked.
    pub(crate) fn malformed(cause: impl Into<String>) -> Self {
        Self {
            executed: true,
            ..Self::new(Class::Malformed, cause)
        }
    }

    /// No server could be reached, or none answered.
    pub(crate) fn unreachable(cause: impl Into<String>, executed: bool) -> Self {
        Self {
            executed,
            next: Next::Repeat,
            ..Self::new(Class::Unreachable, cause)
        }
    }
}
