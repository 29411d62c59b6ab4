//! The reference grammar: how a value says where a secret is, and which part of that secret is meant. No I/O.
//!
//! ```text
//! value   = whole | { text | inline | escape }
//! whole   = [">>"] scheme ":" body               the whole value, when it starts like this
//! inline  = "${" [">>"] scheme ":" body "}"      up to the brace that balances
//! escape  = "$${" [">>"] scheme ":"              gives the text "${" … and no reference; any other "$${" stays as it is
//! scheme  = "vault" | "bao" | "secrets-store" | "file"
//!
//! body    = "login"                              the token of the launcher's own login
//!         | "v" digits ":" ciphertext            of the transit engine
//!         | path "#" key ["#" version] [absent]  a read; `vault`, `bao`, `secrets-store`
//!         | path "#" key ["#" arguments]         a write, with ">>"; arguments are a JSON object
//!         | path ["#" (pointer [absent] | absent)]   a file; `file`
//! key     = template | (pointer | name) [absent]
//! absent  = "?" | ":-" text                      may be absent: then unset, or this text
//! pointer = "/" …                                a JSON pointer (RFC 6901)
//! ```
//!
//! It accepts what manifests for bank-vaults and Deckhouse hold. Where their launchers guess, this is an error with a
//! column and a remedy; and no error text holds a part of the value, because what fails to parse may be a password that
//! merely begins like a reference.
//!
//! [`parse`] takes a value apart, [`Selector::select`] takes the meant part out of a secret. Nothing is ever parsed twice:
//! what a secret holds is not looked at for references.

mod body;
mod braces;
mod bulk;
mod error;
mod near;
mod path;
pub mod pem;
mod pointer;
mod select;
mod template;
mod value;

pub use body::{Absence, Reference, Target};
pub use bulk::BulkPath;
pub use error::{ParseError, ParseErrorKind};
pub use near::nearest;
pub use path::PathError;
pub use select::{Selected, Selector};
pub use template::{MAX_OUTPUT, MAX_WORK, SyntaxError, Template, TemplateError};
pub use value::{Parsed, Scheme, Schemes, Segment, parse, parse_explicit};
