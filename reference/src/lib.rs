//! The reference grammar: how a value says where a secret is, and which part of that secret is meant. No I/O.
//!
//! ```text
//! value   = whole | { text | inline }       whole when the value starts with [">>"] scheme ":"
//! inline  = "${" [">>"] scheme ":" body "}" the brace that balances; "$${" scheme ":" is the text "${" scheme ":"
//! scheme  = vault | bao | secrets-store | file
//! body    = "login" | transit ciphertext | path "#" key ["#" version | "#" arguments]
//! key     = name | "/" JSON pointer | template, then "?" (may be absent) or ":-" text (instead, when absent)
//! ```
//!
//! It accepts what bank-vaults and Deckhouse manifests hold. Where their launchers guess, this is an error with a column
//! and a remedy; and no error text holds a part of the value, because what fails to parse may be a password that merely
//! begins like a reference.

mod body;
mod bulk;
mod path;
mod select;
mod template;
mod value;

pub use body::{Reference, Target};
pub use bulk::BulkPath;
pub use path::PathError;
pub use select::{Absence, SelectError, Selected, Selector};
pub use template::{MAX_OUTPUT, Template, TemplateError};
pub use value::{Parsed, Scheme, Schemes, Segment, parse, parse_explicit};

use thiserror::Error;

/// Why a value that begins like a reference is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("column {column}: {kind}")]
pub struct ParseError {
    /// Byte of the value where the faulty part starts, from 1
    pub column: usize,
    /// What is wrong, and what to write instead
    pub kind: ParseErrorKind,
}

/// What is wrong with a reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseErrorKind {
    /// `vault:path`
    #[error("a reference without a key; write {0}PATH#KEY")]
    NoKey(&'static str),
    /// `vault:path#`
    #[error("a reference with an empty key; name the key after `#`")]
    EmptyKey,
    /// The path cannot be sent.
    #[error(transparent)]
    Path(#[from] PathError),
    /// `vault:path#key#`
    #[error("an empty version; leave the second `#` out for the latest one")]
    EmptyVersion,
    /// `vault:path#key#x`
    #[error(
        "the part after the second `#` is no version; write a number such as 3, or nothing for the latest one"
    )]
    Version,
    /// `>>vault:path#key#{`
    #[error(
        "the arguments after the second `#` are {0}; write a JSON object such as {{\"ttl\":\"1h\"}}"
    )]
    Arguments(envlatch_secret::ParseError),
    /// `>>vault:path#key#[]`
    #[error(
        "the arguments after the second `#` are no JSON object; write one such as {{\"ttl\":\"1h\"}}"
    )]
    NoObject,
    /// `${vault:path#key`
    #[error("`${{` is never closed; add `}}`, or write `$${{` if this is meant as text")]
    Unclosed,
    /// A template in the key slot.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A JSON pointer that RFC 6901 does not allow, or a key in a file that is none.
    #[error("the key is no JSON pointer; write one such as #/db/password")]
    Pointer,
    /// Bytes that no path or key can hold.
    #[error("a reference may hold no control characters and must be UTF-8")]
    Character,
    /// `--env NAME=text`
    #[error(
        "holds no reference; write vault:PATH#KEY or file:PATH, or set plain text as an ordinary variable"
    )]
    NoReference,
}

/// The candidate nearest to `name`, if one is near enough to be a slip of the fingers.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(name, candidate);
    let tolerated = 1 + name.len() / 6;
    candidates
        .into_iter()
        .filter(|candidate| distance(candidate) <= tolerated)
        .min_by_key(|candidate| distance(candidate))
}
