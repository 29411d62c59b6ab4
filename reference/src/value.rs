//! A variable's value: plain, one reference, or text with references inside.

use crate::body::{self, Reference};
use crate::{ParseError, ParseErrorKind};

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
    Text(Vec<u8>),
    /// One reference and nothing else; an absent one leaves the variable unset.
    Whole(Reference),
    /// Text with at least one reference inside.
    Inline(Vec<Segment>),
}

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Passes as it is
    Text(Vec<u8>),
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
        let body = utf8(&value[start..], start)?;
        return Ok(Parsed::Whole(body::parse(scheme, write, body, start)?));
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
        Parsed::Untouched | Parsed::Text(_) => Err(ParseError {
            column: 1,
            kind: ParseErrorKind::NoReference,
        }),
        reference => Ok(reference),
    }
}

fn inline(value: &[u8], schemes: Schemes) -> Result<Parsed, ParseError> {
    let mut segments = Vec::new();
    let mut text = Vec::new();
    let mut position = 0;
    while let Some(rest) = value.get(position..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(b"$${") && head(&rest[3..], schemes).is_some() {
            text.extend_from_slice(b"${");
            position += 3;
        } else if let Some((scheme, write, start)) = rest
            .strip_prefix(b"${")
            .and_then(|inner| head(inner, schemes))
        {
            let start = position + 2 + start;
            let unclosed = || ParseError {
                column: position + 1,
                kind: ParseErrorKind::Unclosed,
            };
            let end = start + closing_brace(&value[start..]).ok_or_else(unclosed)?;
            let body = utf8(&value[start..end], start)?;
            segments.push(Segment::Text(std::mem::take(&mut text)));
            segments.push(Segment::Reference(body::parse(scheme, write, body, start)?));
            position = end + 1;
        } else {
            text.push(rest[0]);
            position += 1;
        }
    }
    if segments.is_empty() {
        return Ok(if text == value {
            Parsed::Untouched
        } else {
            Parsed::Text(text)
        });
    }
    segments.push(Segment::Text(text));
    segments.retain(|segment| !matches!(segment, Segment::Text(text) if text.is_empty()));
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

/// Where the `}` is that closes an inline reference whose body starts at the start of `text`. Inside inner braces (a
/// template, or the JSON arguments of a write) a brace within quotes does not count.
fn closing_brace(text: &[u8]) -> Option<usize> {
    let mut depth = 1_usize;
    let mut quote = None;
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate() {
        match (quote, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(b'"'), b'\\') => escaped = true,
            (Some(open), byte) if *byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'`') if depth > 1 => quote = Some(*byte),
            (None, b'{') => depth += 1,
            (None, b'}') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

fn utf8(bytes: &[u8], offset: usize) -> Result<&str, ParseError> {
    std::str::from_utf8(bytes).map_err(|error| ParseError {
        column: offset + error.valid_up_to() + 1,
        kind: ParseErrorKind::Character,
    })
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
