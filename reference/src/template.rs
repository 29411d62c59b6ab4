//! Templates in the key slot: `${.user}:${.password | urlquery}`.
//!
//! They are pipelines of Go's `text/template` over the keys of one secret, with the functions that manifests for
//! bank-vaults and Deckhouse use. Three things differ on purpose: a missing key is an error unless a function such as
//! `default` takes care of it (Go would print `<no value>`), `b64dec` of what is no base64 is an error (sprig returns the
//! error's text as the value), and maps and lists appear as compact JSON (Go prints `map[a:b]`). There are no variables
//! and no control structures; `default`, `coalesce` and `ternary` choose between values. No function reaches environment,
//! files, network, clock or chance, so a template shows nothing but the secret it is applied to.
//!
//! Operands: `.key.inner`, `.`, `"text"`, `` `text` ``, `12`, `true`, `false`, `nil`, `( … )`.
//! The functions are in [`functions::FUNCTIONS`], one line each.

mod eval;
mod functions;
mod lex;
mod parse;

use envlatch_secret::{Secret, Value};
use thiserror::Error;

/// Longest text a template or any function in it may make, in bytes.
pub const MAX_OUTPUT: usize = 1024 * 1024;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Action(Pipeline),
}

/// Commands, each given the result of the one before as its last argument.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pipeline(Vec<Command>);

/// Operands; the first may be a function.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Command(Vec<Operand>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    /// A literal
    Value(Value),
    /// `.a.b`; `.` when empty
    Field(Vec<String>),
    /// A function without operands of its own
    Function(&'static functions::Function),
    /// `( … ).a.b`
    Group(Pipeline, Vec<String>),
}

/// Why a template cannot be parsed or applied. Names functions and keys, never a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// The text between `${` and `}` cannot be read.
    #[error("template: {0}")]
    Syntax(&'static str),
    /// A function that does not exist.
    #[error("template: there is no function `{name}`{}", .similar.map_or(String::new(), |similar| format!("; did you mean `{similar}`?")))]
    UnknownFunction {
        /// As written
        name: String,
        /// The most similar one
        similar: Option<&'static str>,
    },
    /// A function of Go or sprig that is left out.
    #[error("template: `{name}` is not offered: {reason}")]
    Withheld {
        /// As written
        name: String,
        /// Why
        reason: &'static str,
    },
    /// A key that the secret does not have.
    #[error(
        "template: the secret has no key `{key}`; write `${{{key} | default \"…\"}}` if it may be absent"
    )]
    MissingKey {
        /// As written, with its dots
        key: String,
    },
    /// `.a.b` where `.a` is no object.
    #[error("template: `{key}` looks inside a {kind}, which has no keys")]
    NotAnObject {
        /// As written, with its dots
        key: String,
        /// The type of what it looks inside
        kind: &'static str,
    },
    /// A function was given what it cannot use.
    #[error("template: {function}: {cause}")]
    Function {
        /// Its name
        function: &'static str,
        /// What it cannot use
        cause: &'static str,
    },
    /// `fail` or `required` with its text, which the author of the template wrote.
    #[error("template: {0}")]
    Failed(String),
    /// The result is too long.
    #[error("template: makes more than {MAX_OUTPUT} bytes")]
    TooLong,
}

// === impl Template ===

impl Template {
    /// Parses text with `${ … }` actions.
    ///
    /// # Errors
    /// [`TemplateError`] of syntax or of an unknown function.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, inside)) = rest.split_once("${") {
            let end = end_of_action(inside)
                .ok_or(TemplateError::Syntax("`${` is never closed; add `}`"))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Action(parse::pipeline(&inside[..end - 1])?));
            rest = &inside[end..];
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self(parts))
    }

    /// Applies it to `secret`, the object of all its keys.
    ///
    /// # Errors
    /// [`TemplateError`] of a missing key, or of a function.
    pub fn render(&self, secret: &Value) -> Result<Secret, TemplateError> {
        let mut output = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => output.extend_from_slice(text.as_bytes()),
                Part::Action(pipeline) => {
                    output.extend_from_slice(eval::render(pipeline, secret)?.expose())
                }
            }
            if output.len() > MAX_OUTPUT {
                return Err(TemplateError::TooLong);
            }
        }
        Ok(Secret::new(output))
    }
}

/// The length of an action, its closing `}` included, given the text after `${`. Braces within quotes do not count.
pub(crate) fn end_of_action(inside: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (index, byte) in inside.bytes().enumerate() {
        match (quote, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(b'"'), b'\\') => escaped = true,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'`') => quote = Some(byte),
            (None, b'}') => return Some(index + 1),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
