//! Why there is no TLS session: eight causes that an administrator can act on, and a rest.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

use crate::error::{Class, Failure, Next, TlsCause, escaped};

/// How many of a certificate's names are repeated.
const MOST_NAMES: usize = 4;

/// The failure in the chain of `error`, if it lies in TLS; `connecting` tells whether the connection was just being made to a
/// TLS address.
pub(crate) fn failure_of(error: &(dyn StdError + 'static), connecting: bool) -> Option<Failure> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(failure(tls));
        }
        next = cause.source();
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            if connecting && is_cut(io.kind()) {
                let cut = TlsCause::HandshakeCut;
                return Some(Failure {
                    next: Next::Repeat,
                    ..Failure::new(Class::Tls(cut), cut.text())
                });
            }
            // The source of an io::Error skips the error that it was made from.
            if let Some(inner) = io.get_ref() {
                next = Some(inner);
            }
        }
    }
    None
}

fn failure(error: &rustls::Error) -> Failure {
    let cause = classify(error);
    let text = match (cause, error) {
        (TlsCause::Other, other) => format!("{}: {}", cause.text(), escaped(&other.to_string())),
        (
            _,
            rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented,
                ..
            }),
        ) if !presented.is_empty() => {
            let names: Vec<&str> = presented
                .iter()
                .take(MOST_NAMES)
                .map(|name| bare(name))
                .collect();
            format!("{} ({})", cause.text(), escaped(&names.join(", ")))
        }
        _ => cause.text().to_owned(),
    };
    Failure {
        next: Next::OtherServer,
        ..Failure::new(Class::Tls(cause), text)
    }
}

/// `vault` of `DnsName("vault")`, as rustls writes a name that a certificate is for.
fn bare(presented: &str) -> &str {
    presented
        .split_once('(')
        .and_then(|(_kind, name)| name.strip_suffix(')'))
        .map_or(presented, |name| name.trim_matches('"'))
}

fn is_cut(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn classify(error: &rustls::Error) -> TlsCause {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsCause::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsCause::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsCause::WrongName
            }
            CertificateError::UnknownIssuer => TlsCause::UnknownAuthority,
            _ => TlsCause::Other,
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsCause::Plaintext,
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )
        | rustls::Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion)
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            TlsCause::ProtocolVersion
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => TlsCause::ClientCertificate,
        _ => TlsCause::Other,
    }
}
