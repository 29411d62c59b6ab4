//! Templates in the key slot: `${.user}:${.password | urlquery}`.
//!
//! They are pipelines of Go's `text/template`, between `${` and `}`, over the object of all keys of one secret, with the
//! functions of Go and of sprig that manifests for bank-vaults and Deckhouse use, in their argument order: the value that is
//! worked on comes last, so that `.key | fn a b` is `fn a b .key`.
//!
//! ```text
//! template = { text | "${" ["- "] pipeline [" -"] "}" }    "- " and " -" drop the white space of the text beside them
//! pipeline = command { "|" function { operand } }          each function is given the result before it as its last operand
//! command  = operand | function { operand }
//! operand  = ".key.inner" | "." | "\"text\"" | "`text`" | "12" | "true" | "false" | "nil" | "(" pipeline ")" [".key"]
//! ```
//!
//! A key with other characters than letters, digits and `_` is reached by `index . "with-dash"`. There are no variables and no
//! control structures; `default`, `coalesce`, `ternary`, `and` and `or` choose between values. No function reaches environment,
//! files, network, clock or chance, so a template shows nothing but the secret it is applied to, and always the same.
//!
//! # Functions
//!
//! | function | result |
//! |---|---|
//! | `default "x" .a` | `.a`, or `"x"` when `.a` is absent or empty |
//! | `coalesce .a .b …` | the first that is neither absent nor empty |
//! | `required "text" .a` | `.a`, or failure with the text when it is absent, null or `""` |
//! | `fail "text"` | failure with the text, which here and in `required` must be written out |
//! | `ternary "yes" "no" .a` | `"yes"` when `.a` is true, `"no"` when it is false or absent |
//! | `empty .a` | whether `.a` is absent, null, `""`, false, `[]` or `{}`; a number never is |
//! | `and .a .b …` | the first that is empty, else the last; what follows is not looked at |
//! | `or .a .b …` | the first that is not empty, else the last; what follows is not looked at |
//! | `not .a` | whether it is empty |
//! | `eq .a "x" "y" …` | whether `.a` equals one of them |
//! | `ne .a "x"` | whether they differ |
//! | `lt .a 5`, `le`, `gt`, `ge` | whether `.a` is less, at most, greater, at least; numbers by size, text by its bytes |
//! | `index .a "k" 0 …` | the member of a map or list, and so on inwards |
//! | `get .map "k"` | the member of a map, `""` when it is absent |
//! | `dig "k" "l" "x" .map` | the member `l` of the member `k`, or `"x"` |
//! | `hasKey .map "k"` | whether a map has the key |
//! | `dict "k" .a "l" .b …` | a map of keys and values |
//! | `list .a .b …` | a list |
//! | `first .list`, `last .list` | the first or last item, null when there is none |
//! | `slice .a 1 3` | items or characters from 1 up to, not including, 3 |
//! | `len .a` | how many characters, items or keys |
//! | `join "," .list` | the items as one text |
//! | `splitList "," .a` | the pieces as a list |
//! | `split "," .a` | the pieces as a map: `(split "," .a)._0` |
//! | `toStrings .list` | a list with the text of each item |
//! | `toString .a` | its text |
//! | `print .a .b …` | their texts side by side, a blank between two that are neither text nor number |
//! | `println .a .b …` | the same with a blank between any two, and a line break at the end |
//! | `printf "%s" .a …` | verbs `%s` `%v` `%d` `%q` `%t` `%%`, with `-`, `0`, a width, and for text a `.precision` |
//! | `cat .a .b …` | their texts with a blank between any two |
//! | `quote .a …`, `squote .a …` | in double quotes with Go's escapes, or in single quotes; null is left out |
//! | `trim .a` | without white space at both ends |
//! | `trimAll "/" .a` | without these characters at both ends |
//! | `trimPrefix "x" .a`, `trimSuffix "x" .a` | without this beginning or end |
//! | `upper .a`, `lower .a`, `swapcase .a` | the other case |
//! | `title .a`, `untitle .a` | each word with a capital, or a small, first letter |
//! | `snakecase .a`, `kebabcase .a`, `camelcase .a` | `http_server`, `http-server`, `HttpServer`; digits stay with the word before |
//! | `nospace .a` | without any white space |
//! | `initials .a` | the first letter of each word |
//! | `repeat 3 .a` | three times |
//! | `substr 0 5 .a` | characters from 0 up to, not including, 5; a negative end means the end |
//! | `trunc 5 .a` | the first five characters; `trunc -5` the last |
//! | `abbrev 5 .a` | at most five characters, the last three being `...` if any were cut |
//! | `contains "x" .a`, `hasPrefix "x" .a`, `hasSuffix "x" .a` | whether `.a` has it inside, at its beginning, at its end |
//! | `replace "old" "new" .a` | every `old` replaced |
//! | `indent 4 .a`, `nindent 4 .a` | four blanks before each line; the second with a line break before it all |
//! | `int .a`, `int64 .a`, `atoi .a` | a whole number; what is none is an error |
//! | `b64enc .a`, `b32enc .a` | as base64 or base32 with padding |
//! | `b64dec .a`, `b32dec .a` | the bytes; line breaks in the input do not count |
//! | `urlquery .a` | escaped for the query, user or password of a URL, as Go's `url.QueryEscape` |
//! | `html .a` | escaped for HTML |
//! | `toJson .a`, `toRawJson .a`, `mustToJson`, `mustToRawJson` | compact JSON, keys in the order of the secret |
//! | `toPrettyJson .a`, `mustToPrettyJson` | JSON with two blanks per level |
//! | `fromJson .a`, `mustFromJson` | the value of a JSON text |
//! | `filterPEM "PRIVATE KEY" .a` | the PEM blocks of this kind, here those of every algorithm; none is an error |
//! | `filterCertChain "leaf" .a` | of certificates in any order the leaf, or from there on `"intermediate"` ones or the `"root"` |
//! | `dockerconfigjson "registry" .user .password …` | `.dockerconfigjson` for one or more registries |
//!
//! # What differs from Go and sprig, on purpose
//!
//! - A missing key is an error unless a function that chooses takes care of it (Go prints `<no value>`), and so is null
//!   where text is needed.
//! - `b64dec`, `b32dec`, `fromJson` and `atoi` of what they cannot read are errors (sprig returns the error's text, nothing, or 0).
//! - Maps and lists appear as compact JSON (Go prints `map[a:b]` and `[a b]`).
//! - Numbers keep the digits of the secret, compare exactly, and are never empty: peers hold them as text too, so that
//!   `.retries | default 3` gives `0` where the secret says 0. `eq .port "5432"` compares text, as for them.
//! - `ternary` takes true and false only, and no text `"false"`.
//! - Positions and lengths count characters, where Go counts bytes and can cut one in half.
//! - Case is changed of ASCII letters only.
//! - `toJson` does not escape `<`, `>` and `&`.
//!
//! # Limits
//!
//! Whoever writes a template may exhaust neither memory nor time of who applies it: a result is at most [`MAX_OUTPUT`] long, all
//! functions together handle at most [`MAX_WORK`], a list has at most 65,536 items, parentheses nest at most 32 deep.

mod eval;
mod functions;
mod lex;
mod number;
mod output;
mod parse;
mod withheld;

use envlatch_secret::{Secret, Value};
use thiserror::Error;

use crate::braces;
use crate::error::{ParseError, ParseErrorKind};
use functions::Function;
use output::Output;

/// Longest text that a template or a function in it may make, in bytes.
pub const MAX_OUTPUT: usize = 1024 * 1024;

/// How many bytes all functions of a template may read and make together.
pub const MAX_WORK: usize = 32 * MAX_OUTPUT;

/// A parsed template. It may be applied to any number of secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Secret),
    Action(Pipeline),
}

/// A command, and functions that are each given the result before it as their last operand.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pipeline {
    first: Command,
    further: Vec<Call>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    Operand(Operand),
    Call(Call),
}

/// A function with the operands written after it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    function: &'static Function,
    operands: Vec<Operand>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    Literal(Value),
    /// `.a.b`; `.` when empty
    Field(Vec<String>),
    /// A function without operands of its own
    Function(&'static Function),
    /// `( … ).a.b`
    Group(Box<Pipeline>, Vec<String>),
}

/// Why a text is no template. No variant holds a part of that text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SyntaxError {
    /// `${` without `}`
    #[error("`${{` is never closed; add `}}`")]
    Unclosed,
    /// What stands between `${` and `}` cannot be read.
    #[error("{0}")]
    Malformed(&'static str),
    /// A function that exists nowhere.
    #[error("no such function{}", .similar.map_or(String::new(), |similar| format!("; did you mean `{similar}`?")))]
    UnknownFunction {
        /// The most similar one that exists
        similar: Option<&'static str>,
    },
    /// A function or keyword of Go or sprig that is left out.
    #[error("`{name}` is not offered: {reason}")]
    Withheld {
        /// Its name
        name: &'static str,
        /// Why, and what to use instead
        reason: &'static str,
    },
}

/// Why a template gives no text for a secret. Names functions and keys as the template has them, and no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A key that the secret does not have.
    #[error(
        "template: the secret has no key `{key}`{}; add `| default \"…\"` if it may be absent",
        .similar.as_ref().map_or(String::new(), |similar| format!(", did you mean `{similar}`?"))
    )]
    MissingKey {
        /// As written, with its dots
        key: String,
        /// The most similar key that is there
        similar: Option<String>,
    },
    /// A result that has no text.
    #[error("template: `{what}` is null, which has no text; add `| default \"…\"`")]
    Null {
        /// The key as written, or the function
        what: String,
    },
    /// `.a.b` where `.a` is no map.
    #[error("template: `{key}` looks inside a value of type {kind}, which has no keys")]
    NoMap {
        /// As written, with its dots
        key: String,
        /// The type of what it looks inside
        kind: &'static str,
    },
    /// A function was given what it cannot use.
    #[error("template: {function} {cause}")]
    Function {
        /// Its name
        function: &'static str,
        /// What it cannot use
        cause: &'static str,
    },
    /// `fail` or `required`, with the text that the author of the template wrote for this.
    #[error("template: {0}")]
    Failed(String),
    /// A result is too long.
    #[error("template: makes more than {MAX_OUTPUT} bytes; take less of the secret")]
    TooLong,
    /// All functions together handle too much.
    #[error("template: handles more than {MAX_WORK} bytes in all; take less of the secret")]
    TooMuch,
}

// === impl Template ===

impl Template {
    /// Parses text with `${ … }` actions in it.
    ///
    /// # Errors
    /// A template that cannot be read or that uses a function that is not offered; the column counts from the start of
    /// `text`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        let mut trims = false;
        while let Some((before, inside)) = rest.split_once("${") {
            let start = text.len() - inside.len();
            let end = braces::closing(inside.as_bytes(), 1).ok_or_else(|| {
                ParseErrorKind::from(SyntaxError::Unclosed).at(start - "${".len())
            })?;
            let action = &inside[..end];
            let (trims_before, action, start) = match action.strip_prefix('-') {
                Some(trimmed) if trimmed.starts_with(BLANK) => (true, trimmed, start + 1),
                _ => (false, action, start),
            };
            push_text(&mut pieces, before, trims, trims_before);
            let (action, trims_after) = match action.strip_suffix('-') {
                Some(trimmed) if trimmed.ends_with(BLANK) => (trimmed, true),
                _ => (action, false),
            };
            pieces.push(Piece::Action(parse::pipeline(action).map_err(
                |(offset, error)| ParseErrorKind::from(error).at(start + offset),
            )?));
            trims = trims_after;
            rest = &inside[end + 1..];
        }
        push_text(&mut pieces, rest, trims, false);
        Ok(Self(pieces))
    }

    /// Applies it to `secret`, the object of all its keys.
    ///
    /// # Errors
    /// A key is missing, or a function cannot use what it is given.
    pub fn render(&self, secret: &Value) -> Result<Secret, TemplateError> {
        let evaluation = eval::Evaluation::new(secret);
        let mut output = Output::default();
        for piece in &self.0 {
            let written = match piece {
                Piece::Text(text) => output.push(text.expose()),
                Piece::Action(pipeline) => output.push(evaluation.text(pipeline)?.expose()),
            };
            written.map_err(|_only_too_long| TemplateError::TooLong)?;
        }
        Ok(output.into())
    }
}

/// What Go takes for white space in a template.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

fn push_text(pieces: &mut Vec<Piece>, text: &str, trims_start: bool, trims_end: bool) {
    let text = if trims_start {
        text.trim_start_matches(BLANK)
    } else {
        text
    };
    let text = if trims_end {
        text.trim_end_matches(BLANK)
    } else {
        text
    };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
}

#[cfg(test)]
mod tests;
