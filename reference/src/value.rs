//! A variable's value: plain, one reference, or text with references inside.

use envlatch_secret::Secret;

use crate::body::{self, Part, Reference};
use crate::braces;
use crate::error::{ParseError, ParseErrorKind};

/// Where a reference leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `vault:`, as bank-vaults writes it
    Vault,
    /// `bao:`, as bank-vaults' secret-init writes it for OpenBao
    Bao,
    /// `secrets-store:`, as Deckhouse writes it
    SecretsStore,
    /// `file:`
    File,
}

/// Which schemes make a reference. In inherited values `file:` usually does not: Prisma, Spring and others have values
/// such as `file:./dev.db` that must reach the program as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schemes {
    /// Whether `file:` is a reference
    pub file: bool,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// No reference and no escape: it passes byte for byte.
    Untouched,
    /// No reference, but escapes, which are undone here.
    Text(Secret),
    /// One reference and nothing else; an absent one leaves the variable unset.
    Whole(Reference),
    /// Text with at least one reference inside.
    Inline(Vec<Segment>),
}

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Passes as it is
    Text(Secret),
    /// Is replaced
    Reference(Reference),
}

const WRITE: &str = ">>";

/// Takes the value of an inherited variable apart.
///
/// # Errors
/// It begins like a reference of an active scheme and is none.
pub fn parse(value: &[u8], schemes: Schemes) -> Result<Parsed, ParseError> {
    if let Some((scheme, write, start)) = head(value, schemes) {
        return body::parse(scheme, write, part(value, start, value.len())?).map(Parsed::Whole);
    }
    inline(value, schemes)
}

/// The same for `--env` and `--env-file`, where every scheme is active and plain text is an error: it is far more often
/// a forgotten `vault:` than meant.
///
/// # Errors
/// As [`parse`], and when there is no reference.
pub fn parse_explicit(value: &[u8]) -> Result<Parsed, ParseError> {
    match parse(value, Schemes { file: true })? {
        Parsed::Untouched | Parsed::Text(_) => Err(ParseErrorKind::NoReference.at(0)),
        reference => Ok(reference),
    }
}

fn inline(value: &[u8], schemes: Schemes) -> Result<Parsed, ParseError> {
    let mut segments = Vec::new();
    let mut text = Vec::new();
    let mut escaped = false;
    let mut position = 0;
    while position < value.len() {
        let rest = &value[position..];
        if rest
            .strip_prefix(b"$${")
            .is_some_and(|inner| head(inner, schemes).is_some())
        {
            escaped = true;
            text.extend_from_slice(b"${");
            position += b"$${".len();
        } else if let Some((scheme, write, start)) = rest
            .strip_prefix(b"${")
            .and_then(|inner| head(inner, schemes))
        {
            let start = position + b"${".len() + start;
            let length = braces::closing(&value[start..], 2)
                .ok_or_else(|| ParseErrorKind::Unclosed.at(position))?;
            let reference = body::parse(scheme, write, part(value, start, start + length)?)?;
            if !text.is_empty() {
                segments.push(Segment::Text(Secret::new(std::mem::take(&mut text))));
            }
            segments.push(Segment::Reference(reference));
            position = start + length + b"}".len();
        } else {
            text.push(rest[0]);
            position += 1;
        }
    }
    if segments.is_empty() {
        return Ok(if escaped {
            Parsed::Text(Secret::new(text))
        } else {
            Parsed::Untouched
        });
    }
    if !text.is_empty() {
        segments.push(Segment::Text(Secret::new(text)));
    }
    Ok(Parsed::Inline(segments))
}

/// The scheme at the start of `text`, whether `>>` stands before it, and where the body starts.
fn head(text: &[u8], schemes: Schemes) -> Option<(Scheme, bool, usize)> {
    let (write, rest) = match text.strip_prefix(WRITE.as_bytes()) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let scheme = schemes
        .active()
        .find(|scheme| rest.starts_with(scheme.prefix().as_bytes()))?;
    if write && scheme == Scheme::File {
        return None;
    }
    let start = if write { WRITE.len() } else { 0 } + scheme.prefix().len();
    Some((scheme, write, start))
}

/// The bytes from `start` to `end` as text.
fn part(value: &[u8], start: usize, end: usize) -> Result<Part<'_>, ParseError> {
    match std::str::from_utf8(&value[start..end]) {
        Ok(text) => Ok(Part {
            text,
            offset: start,
        }),
        Err(error) => Err(ParseErrorKind::Character.at(start + error.valid_up_to())),
    }
}

// === impl Scheme ===

impl Scheme {
    /// How it is written.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Vault => "vault:",
            Self::Bao => "bao:",
            Self::SecretsStore => "secrets-store:",
            Self::File => "file:",
        }
    }
}

// === impl Schemes ===

impl Schemes {
    fn active(self) -> impl Iterator<Item = Scheme> {
        let file = self.file.then_some(Scheme::File);
        [Scheme::Vault, Scheme::Bao, Scheme::SecretsStore]
            .into_iter()
            .chain(file)
    }
}

#[cfg(test)]
mod tests;
