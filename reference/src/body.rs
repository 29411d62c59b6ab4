//! One reference: what stands after its scheme.
//!
//! The path ends at the first `#` outside `${ }`, the key at the second. In a key that is no template, `?` at its end
//! makes it optional and `:-` begins the text that stands in for it; both may also follow a version. Whichever of `#` and
//! `:-` comes first decides, so a default text may hold `#`. A secret that has a key of exactly that spelling (`a?`,
//! `a:-b`, up to the next `#`) is meant first: [`Selector`] tries it before anything else.

use std::ops::Range;

use envlatch_secret::{Secret, Value};

use crate::bulk::version_number;
use crate::select::{Absence, Key, Selector};
use crate::template::Template;
use crate::value::Scheme;
use crate::{ParseError, ParseErrorKind, path};

/// A reference: where a secret is, and which part of it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// How it was written
    pub scheme: Scheme,
    /// What it asks for
    pub target: Target,
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
        /// A part of its content as JSON; all of it when absent
        selector: Option<Selector>,
    },
}

// === impl Reference ===

impl Reference {
    /// What happens when the path, version or key definitely does not exist.
    #[must_use]
    pub fn absence(&self) -> &Absence {
        match &self.target {
            Target::Read { selector, .. }
            | Target::Write { selector, .. }
            | Target::File {
                selector: Some(selector),
                ..
            } => selector.absence(),
            Target::Login | Target::Transit(_) | Target::File { selector: None, .. } => {
                &Absence::Required
            }
        }
    }
}

/// Parses what stands after the scheme; `offset` is where that is in the value, for columns.
pub(crate) fn parse(
    scheme: Scheme,
    write: bool,
    body: &str,
    offset: usize,
) -> Result<Reference, ParseError> {
    Body {
        scheme,
        text: body,
        offset,
    }
    .target(write)
    .map(|target| Reference { scheme, target })
}

struct Body<'a> {
    scheme: Scheme,
    text: &'a str,
    offset: usize,
}

// === impl Body ===

impl<'a> Body<'a> {
    fn target(&self, write: bool) -> Result<Target, ParseError> {
        if let Some(index) = self.text.find(char::is_control).filter(|_| !write) {
            return self.fail(index, ParseErrorKind::Character);
        }
        match self.scheme {
            Scheme::File => self.file(),
            _ if write => self.write(),
            _ if self.text == "login" => Ok(Target::Login),
            _ if is_transit(self.text) => {
                Ok(Target::Transit(format!("vault:{}", self.text).into()))
            }
            _ => self.read(),
        }
    }

    fn read(&self) -> Result<Target, ParseError> {
        let (path, rest) = self.path()?;
        let (key, absence, version) = self.read_key(rest)?;
        let selector = self.selector(key, absence)?;
        Ok(Target::Read {
            path,
            version,
            selector,
        })
    }

    fn write(&self) -> Result<Target, ParseError> {
        let (path, rest) = self.path()?;
        let (key, arguments) = match self.find(rest.clone(), "#") {
            None => (rest, Value::Object(Vec::new())),
            Some(hash) => (rest.start..hash, self.arguments(hash + 1..rest.end)?),
        };
        let (key, absence) = self.suffix(key);
        Ok(Target::Write {
            path,
            arguments,
            selector: self.selector(key, absence)?,
        })
    }

    fn file(&self) -> Result<Target, ParseError> {
        let (path, pointer) = match self.text.split_once('#') {
            None => (self.text, None),
            Some((path, _)) => (path, Some(path.len() + 1..self.text.len())),
        };
        if path.is_empty() {
            return self.fail(
                0,
                path::parse("").map_or_else(ParseErrorKind::Path, |_| ParseErrorKind::EmptyKey),
            );
        }
        let selector = match pointer {
            None => None,
            Some(key) => {
                let (key, absence) = self.suffix(key);
                if !self.text[key.clone()].starts_with('/') {
                    return self.fail(key.start, ParseErrorKind::Pointer);
                }
                Some(self.selector(key, absence)?)
            }
        };
        Ok(Target::File {
            path: path.to_owned(),
            selector,
        })
    }

    /// The path, and where the rest after its `#` is.
    fn path(&self) -> Result<(String, Range<usize>), ParseError> {
        let Some(hash) = self.find(0..self.text.len(), "#") else {
            return self.fail(0, ParseErrorKind::NoKey(self.scheme.prefix()));
        };
        let path = path::parse(&self.text[..hash]).or_else(|error| self.fail(0, error.into()))?;
        Ok((path, hash + 1..self.text.len()))
    }

    /// Key, what happens when it is absent, and version.
    fn read_key(
        &self,
        rest: Range<usize>,
    ) -> Result<(Range<usize>, Absence, Option<u32>), ParseError> {
        let hash = self.find(rest.clone(), "#");
        let default = self
            .find(rest.clone(), ":-")
            .filter(|_| !self.is_template(rest.clone()));
        let (Some(hash), true) = (
            hash,
            default.is_none_or(|default| hash.is_some_and(|hash| hash < default)),
        ) else {
            let (key, absence) = self.suffix(rest);
            return Ok((key, absence, None));
        };
        let (key, own) = self.suffix(rest.start..hash);
        let (version, absence) = self.suffix_of_any(hash + 1..rest.end);
        let absence = if absence == Absence::Required {
            own
        } else {
            absence
        };
        match &self.text[version.clone()] {
            "" => self.fail(hash + 1, ParseErrorKind::EmptyVersion),
            digits => match version_number(digits) {
                Some(number) => Ok((key, absence, Some(number))),
                None => self.fail(hash + 1, ParseErrorKind::Version),
            },
        }
    }

    /// Splits `?` or `:-text` off a key, unless it is a template, which has `default` for that.
    fn suffix(&self, key: Range<usize>) -> (Range<usize>, Absence) {
        if self.is_template(key.clone()) {
            (key, Absence::Required)
        } else {
            self.suffix_of_any(key)
        }
    }

    fn suffix_of_any(&self, part: Range<usize>) -> (Range<usize>, Absence) {
        let text = &self.text[part.clone()];
        match (text.split_once(":-"), text.strip_suffix('?')) {
            (Some((key, default)), _) => (
                part.start..part.start + key.len(),
                Absence::Default(default.to_owned()),
            ),
            (None, Some(key)) => (part.start..part.start + key.len(), Absence::Optional),
            (None, None) => (part, Absence::Required),
        }
    }

    fn selector(&self, key: Range<usize>, absence: Absence) -> Result<Selector, ParseError> {
        let text = &self.text[key.clone()];
        if text.is_empty() {
            return self.fail(key.start, ParseErrorKind::EmptyKey);
        }
        let parsed = if self.is_template(key.clone()) {
            let template =
                Template::parse(text).or_else(|error| self.fail(key.start, error.into()))?;
            Key::Template(template)
        } else if text.starts_with('/') {
            Key::Pointer(
                pointer(text).map_or_else(|| self.fail(key.start, ParseErrorKind::Pointer), Ok)?,
            )
        } else {
            Key::Name
        };
        let spelling = self.text[key.start..].split('#').next().unwrap_or(text);
        let literal = if matches!(parsed, Key::Template(_)) {
            text
        } else {
            spelling
        };
        Ok(Selector {
            name: text.to_owned(),
            literal: literal.to_owned(),
            key: parsed,
            absence,
        })
    }

    fn arguments(&self, json: Range<usize>) -> Result<Value, ParseError> {
        match Value::parse(self.text[json.clone()].as_bytes()) {
            Ok(object @ Value::Object(_)) => Ok(object),
            Ok(_) => self.fail(json.start, ParseErrorKind::NoObject),
            Err(error) => self.fail(json.start, ParseErrorKind::Arguments(error)),
        }
    }

    fn is_template(&self, key: Range<usize>) -> bool {
        let text = &self.text[key];
        let opens = text.find("${");
        let ends = text.find(":-").into_iter().chain(text.find('#')).min();
        opens.is_some_and(|opens| ends.is_none_or(|ends| opens < ends))
    }

    /// Where `pattern` stands within `part` outside `${ }`.
    fn find(&self, part: Range<usize>, pattern: &str) -> Option<usize> {
        let mut position = part.start;
        while position < part.end {
            let rest = &self.text[position..part.end];
            if rest.starts_with(pattern) {
                return Some(position);
            }
            position += match rest
                .strip_prefix("${")
                .and_then(crate::template::end_of_action)
            {
                Some(length) => 2 + length,
                None => rest.chars().next().map_or(1, char::len_utf8),
            };
        }
        None
    }

    fn fail<T>(&self, index: usize, kind: ParseErrorKind) -> Result<T, ParseError> {
        Err(ParseError {
            column: self.offset + index + 1,
            kind,
        })
    }
}

/// `v1:…`, as the transit engine writes its ciphertexts after `vault:`.
fn is_transit(body: &str) -> bool {
    let Some((version, ciphertext)) = body.strip_prefix('v').and_then(|rest| rest.split_once(':'))
    else {
        return false;
    };
    !version.is_empty()
        && version.bytes().all(|byte| byte.is_ascii_digit())
        && !ciphertext.is_empty()
        && !body.contains('#')
}

/// The parts of a JSON pointer (RFC 6901), unescaped.
fn pointer(text: &str) -> Option<Vec<String>> {
    text.split('/').skip(1).map(unescape).collect()
}

fn unescape(part: &str) -> Option<String> {
    let mut pieces = part.split('~');
    let mut unescaped = pieces.next()?.to_owned();
    for piece in pieces {
        let (escape, rest) = piece.split_at_checked(1)?;
        unescaped.push(match escape {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        unescaped.push_str(rest);
    }
    Some(unescaped)
}
