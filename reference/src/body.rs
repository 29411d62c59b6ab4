//! One reference: what stands after its scheme.
//!
//! The path ends at the first `#`, the key at the second one outside `${ }`. In a key that is no template, `?` at its end
//! makes it optional and `:-` begins the text that stands in for it; both may stand behind the version instead. Whichever
//! of `#` and `:-` comes first decides, so a default text may hold `#` (`vault:p#url:-redis://h:6379#0`) and a version goes
//! before it (`vault:p#k#3:-text`). In a write the arguments begin at the first `#` after the key, whatever precedes it.
//!
//! A secret that has a key of exactly the spelling of the key slot (`a?`, `a:-b`, `/a`) is meant first: [`Selector`] tries
//! that before anything else. A template has its own `default`, so `?` and `:-` after it are its text; behind its version
//! they say what happens when path, version or a key in it is absent.
//!
//! `file:PATH#?` and `file:PATH#:-text` are about the file itself, since a `?` in the path belongs to the path.

use std::fmt;

use envlatch_secret::{Secret, Value};

use crate::bulk::parse_version;
use crate::error::{ParseError, ParseErrorKind};
use crate::pointer::Pointer;
use crate::select::{Key, Selector};
use crate::template::{SyntaxError, Template};
use crate::value::Scheme;
use crate::{braces, path};

/// A reference: where a secret is, and which part of it is meant.
///
/// `Display` gives scheme, path, key and version for messages; never the arguments of a write, a default text or the text
/// of a template, which may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// How it was written
    pub scheme: Scheme,
    /// What it asks for
    pub target: Target,
    absence: Absence,
}

/// What a reference asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `vault:login`: the token of the launcher's own login
    Login,
    /// `vault:v1:…`: a ciphertext of the transit engine, from `vault:` on
    Transit(Secret),
    /// A path is read
    Read {
        /// As the API spells it after `/v1/`
        path: String,
        /// KV v2 version; the latest when absent
        version: Option<u32>,
        /// The part that is meant
        selector: Selector,
    },
    /// Arguments are written to a path, and the reply is used
    Write {
        /// As the API spells it after `/v1/`
        path: String,
        /// A JSON object
        arguments: Value,
        /// The part of the reply that is meant
        selector: Selector,
    },
    /// A file
    File {
        /// As written
        path: String,
        /// A part of its content as JSON; all of it, byte for byte, when absent
        selector: Option<Selector>,
    },
}

/// What happens when a path, version, file or key definitely does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Nothing is started
    Required,
    /// The variable is unset
    Optional,
    /// This text stands in
    Default(Secret),
}

/// A part of the value, and where it starts in it.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) text: &'a str,
    pub(crate) offset: usize,
}

/// Parses what stands after the scheme.
pub(crate) fn parse(scheme: Scheme, write: bool, body: Part<'_>) -> Result<Reference, ParseError> {
    let (target, absence) = match scheme {
        Scheme::File => file(body)?,
        _ if write => self::write(scheme, body)?,
        _ if body.text == "login" => (Target::Login, Absence::Required),
        _ if is_transit(body.text) => (
            Target::Transit(format!("vault:{}", body.text).into()),
            Absence::Required,
        ),
        _ => read(scheme, body)?,
    };
    Ok(Reference {
        scheme,
        target,
        absence,
    })
}

fn read(scheme: Scheme, body: Part<'_>) -> Result<(Target, Absence), ParseError> {
    let (path, rest) = path(scheme, body)?;
    let hash = if is_template(rest.text) {
        hash_outside_actions(rest)?
    } else {
        let default = rest.text.find(":-").unwrap_or(rest.text.len());
        rest.text[..default].find('#')
    };
    let Some(hash) = hash else {
        let (selector, absence) = selector(rest)?;
        return Ok((
            Target::Read {
                path,
                version: None,
                selector,
            },
            absence,
        ));
    };
    let (selector, absence) = selector(rest.before(hash))?;
    let (digits, behind) = absence_of(rest.after(hash));
    let version = parse_version(digits.text).map_err(|kind| digits.error(kind))?;
    let absence = if behind == Absence::Required {
        absence
    } else {
        behind
    };
    Ok((
        Target::Read {
            path,
            version,
            selector,
        },
        absence,
    ))
}

fn write(scheme: Scheme, body: Part<'_>) -> Result<(Target, Absence), ParseError> {
    let (path, rest) = path(scheme, body)?;
    let hash = if is_template(rest.text) {
        hash_outside_actions(rest)?
    } else {
        rest.text.find('#')
    };
    let arguments = match hash {
        None => Value::Object(Vec::new()),
        Some(hash) => arguments(rest.after(hash))?,
    };
    let (selector, absence) = selector(rest.before(hash.unwrap_or(rest.text.len())))?;
    Ok((
        Target::Write {
            path,
            arguments,
            selector,
        },
        absence,
    ))
}

fn file(body: Part<'_>) -> Result<(Target, Absence), ParseError> {
    let hash = body.text.find('#');
    let path = body.before(hash.unwrap_or(body.text.len()));
    path.refuse_control_characters()?;
    if path.text.is_empty() {
        return Err(body.error(ParseErrorKind::NoFile));
    }
    let (selector, absence) = match hash {
        None => (None, Absence::Required),
        Some(hash) => match absence_of(body.after(hash)) {
            (Part { text: "", .. }, absence) if absence != Absence::Required => (None, absence),
            (key, _) if !key.text.is_empty() && !key.text.starts_with('/') => {
                return Err(key.error(ParseErrorKind::Pointer));
            }
            _ => {
                let (selector, absence) = selector(body.after(hash))?;
                (Some(selector), absence)
            }
        },
    };
    Ok((
        Target::File {
            path: path.text.to_owned(),
            selector,
        },
        absence,
    ))
}

/// The path, and what follows its `#`.
fn path(scheme: Scheme, body: Part<'_>) -> Result<(String, Part<'_>), ParseError> {
    let hash = body
        .text
        .find('#')
        .ok_or_else(|| body.error(ParseErrorKind::NoKey(scheme.prefix())))?;
    let path = path::parse(&body.text[..hash]).map_err(|error| body.error(error.into()))?;
    Ok((path, body.after(hash)))
}

/// The key slot: which part is meant, and what happens when it is absent.
fn selector(slot: Part<'_>) -> Result<(Selector, Absence), ParseError> {
    if is_template(slot.text) {
        let template = Template::parse(slot.text).map_err(|error| ParseError {
            column: slot.offset + error.column,
            ..error
        })?;
        return Ok((
            Selector {
                key: Key::Template(template),
                literal: None,
            },
            Absence::Required,
        ));
    }
    let (key, absence) = absence_of(slot);
    key.refuse_control_characters()?;
    if key.text.is_empty() {
        return Err(key.error(ParseErrorKind::EmptyKey));
    }
    let key = if key.text.starts_with('/') {
        Key::Pointer(Pointer::parse(key.text).ok_or_else(|| key.error(ParseErrorKind::Pointer))?)
    } else {
        Key::Name(key.text.to_owned())
    };
    Ok((
        Selector {
            key,
            literal: Some(slot.text.into()),
        },
        absence,
    ))
}

/// Splits `?` or `:-text` off.
fn absence_of(part: Part<'_>) -> (Part<'_>, Absence) {
    match (part.text.split_once(":-"), part.text.strip_suffix('?')) {
        (Some((key, default)), _) => (part.before(key.len()), Absence::Default(default.into())),
        (None, Some(key)) => (part.before(key.len()), Absence::Optional),
        (None, None) => (part, Absence::Required),
    }
}

fn arguments(json: Part<'_>) -> Result<Value, ParseError> {
    match Value::parse(json.text.as_bytes()) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(json.error(ParseErrorKind::NoObject)),
        Err(error) => Err(json.error(ParseErrorKind::Arguments(error))),
    }
}

/// Whether an action `${` opens before anything else that could end the key.
fn is_template(slot: &str) -> bool {
    slot.find("${")
        .is_some_and(|action| !slot[..action].contains('#') && !slot[..action].contains(":-"))
}

/// Where the first `#` outside `${ }` stands.
fn hash_outside_actions(slot: Part<'_>) -> Result<Option<usize>, ParseError> {
    let mut start = 0;
    while let Some(found) = slot.text[start..]
        .find(['#', '$'])
        .map(|found| start + found)
    {
        let Some(action) = slot.text[found..].strip_prefix("${") else {
            if slot.text[found..].starts_with('#') {
                return Ok(Some(found));
            }
            start = found + 1;
            continue;
        };
        let end = braces::closing(action.as_bytes(), 1)
            .ok_or_else(|| slot.from(found).error(SyntaxError::Unclosed.into()))?;
        start = found + "${".len() + end;
    }
    Ok(None)
}

/// `v1:…`, as the transit engine writes its ciphertexts after `vault:`.
fn is_transit(body: &str) -> bool {
    let Some((version, ciphertext)) = body.strip_prefix('v').and_then(|rest| rest.split_once(':'))
    else {
        return false;
    };
    let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    digits
        && !ciphertext.is_empty()
        && !ciphertext.contains(|character: char| character == '#' || character.is_control())
}

// === impl Part ===

impl<'a> Part<'a> {
    fn before(self, index: usize) -> Self {
        Self {
            text: &self.text[..index],
            offset: self.offset,
        }
    }

    fn from(self, index: usize) -> Self {
        Self {
            text: &self.text[index..],
            offset: self.offset + index,
        }
    }

    /// What follows the one byte at `index`.
    fn after(self, index: usize) -> Self {
        self.from(index + 1)
    }

    /// An error at the start of this part.
    fn error(self, kind: ParseErrorKind) -> ParseError {
        kind.at(self.offset)
    }

    fn refuse_control_characters(self) -> Result<(), ParseError> {
        match self.text.find(char::is_control) {
            None => Ok(()),
            Some(index) => Err(self.from(index).error(ParseErrorKind::Character)),
        }
    }
}

// === impl Reference ===

impl Reference {
    /// What happens when the path, version, file or key definitely does not exist. A denial, a server that cannot be
    /// reached and an answer that cannot be read are no absence.
    #[must_use]
    pub fn absence(&self) -> &Absence {
        &self.absence
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.scheme.prefix();
        match &self.target {
            Target::Login => write!(f, "{prefix}login"),
            Target::Transit(_) => write!(f, "{prefix}(transit ciphertext)"),
            Target::Read {
                path,
                version: None,
                selector,
            } => write!(f, "{prefix}{path}#{}", selector.name()),
            Target::Read {
                path,
                version: Some(version),
                selector,
            } => {
                write!(f, "{prefix}{path}#{}#{version}", selector.name())
            }
            Target::Write { path, selector, .. } => {
                write!(f, ">>{prefix}{path}#{}", selector.name())
            }
            Target::File {
                path,
                selector: None,
            } => write!(f, "{prefix}{path}"),
            Target::File {
                path,
                selector: Some(selector),
            } => write!(f, "{prefix}{path}#{}", selector.name()),
        }
    }
}
