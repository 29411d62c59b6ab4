//! Why a text is no reference. No variant holds a part of that text.

use thiserror::Error;

use crate::path::PathError;
use crate::template::SyntaxError;

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
    /// `vault:path`; holds the prefix
    #[error("a reference without a key; write {0}PATH#KEY")]
    NoKey(&'static str),
    /// `vault:path#`
    #[error("a reference with an empty key; name the key after `#`")]
    EmptyKey,
    /// `file:`
    #[error("a reference without a file; write file:PATH")]
    NoFile,
    /// The path cannot be sent.
    #[error(transparent)]
    Path(#[from] PathError),
    /// `vault:path#key#`
    #[error("an empty version; leave out the `#` before it for the latest one")]
    EmptyVersion,
    /// `vault:path#key#x`
    #[error(
        "the part after the last `#` is no version; write a number such as 3, or leave out that `#` for the latest one"
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
    #[error("`${{` is never closed; add `}}`, or write `$${{` if it is meant as text")]
    Unclosed,
    /// A template in the key slot.
    #[error("template: {0}")]
    Template(#[from] SyntaxError),
    /// A JSON pointer that RFC 6901 does not allow, or a part of a file that is none.
    #[error(
        "no JSON pointer after `#`; write one such as #/db/password, with ~1 for `/` and ~0 for `~` inside a name"
    )]
    Pointer,
    /// Bytes that no path and no key can hold.
    #[error(
        "a reference with a control character or with bytes that are not UTF-8; look for a line break at its end"
    )]
    Character,
    /// `--env NAME=text`
    #[error(
        "holds no reference; write vault:PATH#KEY or file:PATH, or set plain text as an ordinary variable"
    )]
    NoReference,
}

// === impl ParseErrorKind ===

impl ParseErrorKind {
    /// This, at the byte `offset` of the value.
    pub(crate) fn at(self, offset: usize) -> ParseError {
        ParseError {
            column: offset + 1,
            kind: self,
        }
    }
}
