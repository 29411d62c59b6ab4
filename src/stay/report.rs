//! What a worker tells the launcher, as text in a pipe: records of fields, separated by control characters that neither
//! tokens nor lease names can hold. Both ends are the same program, so there is no version and no mercy.

use std::time::Duration;

use envlatch_secret::Secret;

use super::digest::Digest;
use crate::holdings::{Certificate, Holdings, Lease, Token};
use crate::request::Family;

/// The outcome of a piece of work.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The hash of what a start would make, without what is new each time
    pub(super) digest: Option<Digest>,
    /// What was issued or renewed
    pub(super) holdings: Holdings,
    /// Names of leases that the server does not renew any more
    pub(super) gone_leases: Vec<String>,
    /// Names of leases that may not be renewed
    pub(super) denied_leases: Vec<String>,
    /// Why it did not succeed, or not wholly
    pub(super) failure: Option<String>,
}

const FIELD: char = '\x1f';
const RECORD: char = '\x1e';

// === impl Report ===

impl Report {
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self {
            failure: Some(text.into()),
            ..Self::default()
        }
    }

    pub(super) fn to_text(&self) -> Secret {
        let mut text = String::with_capacity(1024);
        let mut record = |fields: &[&str]| {
            for field in fields {
                text.push_str(field);
                text.push(FIELD);
            }
            text.push(RECORD);
        };
        if let Some(digest) = self.digest {
            record(&["digest", &digest.to_hex()]);
        }
        for token in &self.holdings.tokens {
            let left = token.left.map_or("?".to_owned(), seconds);
            let secret = token.secret.expose_str().unwrap_or_default();
            let flags = [token.renewable, token.ours, token.replaceable].map(flag);
            record(&[
                "token",
                family(token.family),
                &left,
                flags[0],
                flags[1],
                flags[2],
                secret,
            ]);
        }
        for lease in &self.holdings.leases {
            let left = seconds(lease.left);
            record(&[
                "lease",
                family(lease.family),
                &left,
                flag(lease.renewable),
                &lease.id,
            ]);
        }
        for certificate in &self.holdings.certificates {
            record(&["certificate", &seconds(certificate.left), &certificate.path]);
        }
        for id in &self.gone_leases {
            record(&["gone lease", id]);
        }
        for id in &self.denied_leases {
            record(&["denied lease", id]);
        }
        if let Some(failure) = &self.failure {
            record(&["failure", failure]);
        }
        record(&["end"]);
        text.into()
    }

    /// `None` when a worker ended before it had told everything.
    pub(super) fn parse(text: &Secret) -> Option<Self> {
        let mut report = Self::default();
        let records = text.expose_str()?.strip_suffix(RECORD)?;
        for record in records.split(RECORD) {
            let fields: Vec<&str> = record.split_terminator(FIELD).collect();
            match fields.as_slice() {
                ["digest", hex] => report.digest = Some(Digest::from_hex(hex)?),
                ["token", of, left, renewable, ours, replaceable, secret] => {
                    report.holdings.tokens.push(Token {
                        family: parse_family(of)?,
                        secret: (*secret).into(),
                        left: parse_seconds(left),
                        renewable: *renewable == "1",
                        ours: *ours == "1",
                        replaceable: *replaceable == "1",
                    });
                }
                ["lease", of, left, renewable, id] => report.holdings.leases.push(Lease {
                    family: parse_family(of)?,
                    id: (*id).to_owned(),
                    left: parse_seconds(left)?,
                    renewable: *renewable == "1",
                }),
                ["certificate", left, path] => report.holdings.certificates.push(Certificate {
                    path: (*path).to_owned(),
                    left: parse_seconds(left)?,
                }),
                ["gone lease", id] => report.gone_leases.push((*id).to_owned()),
                ["denied lease", id] => report.denied_leases.push((*id).to_owned()),
                ["failure", failure] => report.failure = Some((*failure).to_owned()),
                ["end"] => return Some(report),
                _ => return None,
            }
        }
        None
    }
}

fn seconds(time: Duration) -> String {
    time.as_secs().to_string()
}

fn parse_seconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_secs)
}

fn flag(flag: bool) -> &'static str {
    if flag { "1" } else { "0" }
}

fn family(family: Family) -> &'static str {
    match family {
        Family::Vault => "vault",
        Family::Bao => "bao",
    }
}

fn parse_family(text: &str) -> Option<Family> {
    [Family::Vault, Family::Bao]
        .into_iter()
        .find(|known| family(*known) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        let token = |left| Token {
            family: Family::Bao,
            secret: "hvs.x".into(),
            left,
            renewable: true,
            ours: false,
            replaceable: true,
        };
        let report = Report {
            digest: Digest::from_hex(&"0f".repeat(32)),
            holdings: Holdings {
                tokens: vec![token(None), token(Some(Duration::ZERO))],
                leases: vec![Lease {
                    family: Family::Vault,
                    id: "database/creds/app/x".to_owned(),
                    left: Duration::from_secs(60),
                    renewable: false,
                }],
                certificates: vec![Certificate {
                    path: "pki/issue/web".to_owned(),
                    left: Duration::from_secs(5),
                }],
            },
            gone_leases: vec!["a/b".to_owned()],
            denied_leases: vec!["c/d".to_owned()],
            failure: Some("two\nlines".to_owned()),
        };
        let parsed = Report::parse(&report.to_text()).unwrap();
        assert_eq!(format!("{report:?}"), format!("{parsed:?}"));
        assert_eq!(parsed.holdings.tokens[0].secret, "hvs.x".into());
    }

    #[test]
    fn a_report_cut_short_is_none() {
        let text = Report::failed("x").to_text();
        for length in 0..text.len() - 1 {
            assert!(
                Report::parse(&Secret::new(text.expose()[..length].to_vec())).is_none(),
                "{length}"
            );
        }
    }
}
