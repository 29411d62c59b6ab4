//! Functions on PEM: which blocks of it, and which certificates of a chain.
//!
//! Of a certificate only issuer and subject are looked at (RFC 5280, section 4.1): nothing is verified here, that is for whoever
//! uses the chain.

use base64ct::{Base64, Encoding as _};

use super::{Arguments, Fault};
use crate::pem::{Block, blocks};
use crate::template::output::Output;

/// Most certificates of a chain; each is compared with each.
const MAX_CERTIFICATES: usize = 64;

const NO_CERTIFICATE: Fault = Fault::Cause("needs certificates as PEM");

/// A certificate's text, and the DER of its issuer and its subject.
struct Certificate<'a> {
    text: &'a str,
    issuer: Vec<u8>,
    subject: Vec<u8>,
}

/// Which of a chain is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Leaf,
    Intermediate,
    Root,
}

pub(super) fn filter_pem(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let (kind, text) = (arguments.text(0)?, arguments.text(1)?);
    let mut found = blocks(&text).filter(|block| block.is_of(&kind)).peekable();
    if found.peek().is_none() {
        return Err(Fault::Cause("needs PEM with a block of that kind"));
    }
    found.try_for_each(|block| line(block.text, output))
}

pub(super) fn filter_cert_chain(
    arguments: &Arguments<'_>,
    output: &mut Output,
) -> Result<(), Fault> {
    let wanted = match &*arguments.text(0)? {
        "leaf" => Part::Leaf,
        "intermediate" => Part::Intermediate,
        "root" => Part::Root,
        _ => {
            return Err(Fault::Cause(
                "needs \"leaf\", \"intermediate\" or \"root\" first",
            ));
        }
    };
    let text = arguments.text(1)?;
    let certificates = blocks(&text).filter(|block| block.is_of("CERTIFICATE"));
    let certificates = certificates
        .take(MAX_CERTIFICATES + 1)
        .map(|block| Certificate::read(&block).ok_or(NO_CERTIFICATE))
        .collect::<Result<Vec<_>, _>>()?;
    for (index, certificate) in chain(certificates)?.iter().enumerate() {
        let part = match index {
            0 => Part::Leaf,
            _ if certificate.issuer == certificate.subject => Part::Root,
            _ => Part::Intermediate,
        };
        if part == wanted {
            line(certificate.text, output)?;
        }
    }
    Ok(())
}

/// The same from the leaf on, each followed by its issuer.
fn chain(mut rest: Vec<Certificate<'_>>) -> Result<Vec<Certificate<'_>>, Fault> {
    const NO_CHAIN: Fault =
        Fault::Cause("needs certificates that form one chain, each issued by another of them");
    if rest.is_empty() {
        return Err(NO_CERTIFICATE);
    }
    if rest.len() > MAX_CERTIFICATES {
        return Err(Fault::Cause("needs a chain of at most 64 certificates"));
    }
    let issues = |one: &Certificate<'_>| {
        rest.iter()
            .any(|other| other.issuer == one.subject && other.subject != one.subject)
    };
    let mut leaves = (0..rest.len()).filter(|&index| !issues(&rest[index]));
    let (Some(leaf), None) = (leaves.next(), leaves.next()) else {
        return Err(NO_CHAIN);
    };
    let mut chain = vec![rest.swap_remove(leaf)];
    while let Some(last) = chain.last() {
        let Some(next) = rest.iter().position(|one| one.subject == last.issuer) else {
            break;
        };
        chain.push(rest.swap_remove(next));
    }
    if rest.is_empty() {
        Ok(chain)
    } else {
        Err(NO_CHAIN)
    }
}

fn line(text: &str, output: &mut Output) -> Result<(), Fault> {
    output.push(text)?;
    output.push("\n")
}

// === impl Certificate ===

impl<'a> Certificate<'a> {
    fn read(block: &Block<'a>) -> Option<Self> {
        let base64: String = block.body().split_whitespace().collect();
        let der = Base64::decode_vec(&base64).ok()?;
        let (_, certificate, _) = element(&der)?;
        let (_, mut fields, _) = element(certificate)?;
        // version (only from version 2 on), serialNumber, signature, issuer, validity, subject
        if element(fields)?.0 == VERSION {
            (_, _, fields) = element(fields)?;
        }
        let mut next = || {
            let (_, _, rest) = element(fields)?;
            let whole = &fields[..fields.len() - rest.len()];
            fields = rest;
            Some(whole.to_vec())
        };
        let (_serial, _signature, issuer, _validity) = (next()?, next()?, next()?, next()?);
        Some(Self {
            text: block.text,
            issuer,
            subject: next()?,
        })
    }
}

/// The tag `[0]` of the version.
const VERSION: u8 = 0xa0;

/// Tag, content and what follows of the DER element that `bytes` begin with (X.690, section 8.1).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(first) {
        short @ 0..=0x7f => (short, rest),
        long => {
            let digits = long & 0x7f;
            if digits > 4 {
                return None;
            }
            let (digits, rest) = rest.split_at_checked(digits)?;
            let length = digits
                .iter()
                .fold(0, |length, &digit| length << 8 | usize::from(digit));
            (length, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
