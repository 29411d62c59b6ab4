//! The functions of templates, in the order of the table in the documentation of [`template`](super).

mod encoding;
mod format;
mod json;
mod logic;
mod map;
mod pem;
mod registry;
mod text;

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Deref;

use envlatch_secret::{Secret, Value};
use zeroize::Zeroizing;

use super::eval::Datum;
use super::output::Output;
use super::{MAX_WORK, TemplateError, number};

/// One function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Fewest arguments
    min: usize,
    /// Most arguments
    max: usize,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    /// Writes text, of arguments that are all there
    Text(fn(&Arguments<'_>, &mut Output) -> Result<(), Fault>),
    /// Makes a value, of arguments that are all there
    Value(fn(&Arguments<'_>) -> Result<Value, Fault>),
    /// Takes care of absent arguments itself, and may hand one on
    Lenient(for<'a> fn(Vec<Datum<'a>>) -> Result<Datum<'a>, Fault>),
    /// Evaluates its operands one by one, up to where this holds
    Choice(fn(&Value) -> bool),
}

/// Why a function gives no value.
#[derive(Debug)]
pub(super) enum Fault {
    Cause(&'static str),
    Failed(String),
    TooLong,
    TooMuch,
}

/// Arguments that are all there, as many as the table allows.
pub(super) struct Arguments<'a> {
    values: Vec<Cow<'a, Value>>,
    work: &'a Work,
}

/// How much a template has handled.
#[derive(Default)]
pub(super) struct Work(Cell<usize>);

/// The text of a value, without a copy where it is text already.
pub(super) enum TextOf<'a> {
    Borrowed(&'a str),
    Json(Zeroizing<String>),
}

/// Any number of arguments.
const ANY: usize = usize::MAX;

use Body::{Choice, Lenient, Text, Value as Makes};

/// Every function: its name, the fewest and most arguments, and what it does.
pub(super) const FUNCTIONS: &[Function] = &[
    function("default", 1, 2, Lenient(logic::default)),
    function("coalesce", 1, ANY, Lenient(logic::coalesce)),
    function("required", 2, 2, Lenient(logic::required)),
    function("fail", 1, 1, Makes(logic::fail)),
    function("ternary", 3, 3, Lenient(logic::ternary)),
    function("empty", 1, 1, Lenient(logic::empty)),
    function("and", 1, ANY, Choice(logic::is_empty)),
    function("or", 1, ANY, Choice(logic::is_not_empty)),
    function("not", 1, 1, Lenient(logic::empty)),
    function("eq", 2, ANY, Makes(logic::eq)),
    function("ne", 2, 2, Makes(logic::ne)),
    function("lt", 2, 2, Makes(logic::lt)),
    function("le", 2, 2, Makes(logic::le)),
    function("gt", 2, 2, Makes(logic::gt)),
    function("ge", 2, 2, Makes(logic::ge)),
    function("index", 1, ANY, Lenient(map::index)),
    function("get", 2, 2, Lenient(map::get)),
    function("dig", 3, ANY, Lenient(map::dig)),
    function("hasKey", 2, 2, Lenient(map::has_key)),
    function("dict", 0, 256, Makes(map::dict)),
    function("list", 0, ANY, Makes(map::list)),
    function("first", 1, 1, Makes(map::first)),
    function("mustFirst", 1, 1, Makes(map::first)),
    function("last", 1, 1, Makes(map::last)),
    function("mustLast", 1, 1, Makes(map::last)),
    function("slice", 1, 3, Makes(map::slice)),
    function("len", 1, 1, Makes(map::len)),
    function("join", 2, 2, Text(map::join)),
    function("splitList", 2, 2, Makes(map::split_list)),
    function("split", 2, 2, Makes(map::split)),
    function("toStrings", 1, 1, Makes(map::to_strings)),
    function("toString", 1, 1, Text(text::to_string)),
    function("print", 0, ANY, Text(format::print)),
    function("println", 0, ANY, Text(format::println)),
    function("printf", 1, ANY, Text(format::printf)),
    function("cat", 0, ANY, Text(format::cat)),
    function("quote", 0, ANY, Text(format::quote)),
    function("squote", 0, ANY, Text(format::squote)),
    function("trim", 1, 1, Text(text::trim)),
    function("trimAll", 2, 2, Text(text::trim_all)),
    function("trimPrefix", 2, 2, Text(text::trim_prefix)),
    function("trimSuffix", 2, 2, Text(text::trim_suffix)),
    function("upper", 1, 1, Text(text::upper)),
    function("lower", 1, 1, Text(text::lower)),
    function("swapcase", 1, 1, Text(text::swapcase)),
    function("title", 1, 1, Text(text::title)),
    function("untitle", 1, 1, Text(text::untitle)),
    function("snakecase", 1, 1, Text(text::snakecase)),
    function("kebabcase", 1, 1, Text(text::kebabcase)),
    function("camelcase", 1, 1, Text(text::camelcase)),
    function("nospace", 1, 1, Text(text::nospace)),
    function("initials", 1, 1, Text(text::initials)),
    function("repeat", 2, 2, Text(text::repeat)),
    function("substr", 3, 3, Text(text::substr)),
    function("trunc", 2, 2, Text(text::trunc)),
    function("abbrev", 2, 2, Text(text::abbrev)),
    function("contains", 2, 2, Makes(text::contains)),
    function("hasPrefix", 2, 2, Makes(text::has_prefix)),
    function("hasSuffix", 2, 2, Makes(text::has_suffix)),
    function("replace", 3, 3, Text(text::replace)),
    function("indent", 2, 2, Text(text::indent)),
    function("nindent", 2, 2, Text(text::nindent)),
    function("int", 1, 1, Makes(text::int)),
    function("int64", 1, 1, Makes(text::int)),
    function("atoi", 1, 1, Makes(text::int)),
    function("b64enc", 1, 1, Text(encoding::b64enc)),
    function("b64dec", 1, 1, Text(encoding::b64dec)),
    function("b32enc", 1, 1, Text(encoding::b32enc)),
    function("b32dec", 1, 1, Text(encoding::b32dec)),
    function("urlquery", 1, ANY, Text(encoding::urlquery)),
    function("html", 1, ANY, Text(encoding::html)),
    function("toJson", 1, 1, Text(json::to_json)),
    function("mustToJson", 1, 1, Text(json::to_json)),
    function("toRawJson", 1, 1, Text(json::to_json)),
    function("mustToRawJson", 1, 1, Text(json::to_json)),
    function("toPrettyJson", 1, 1, Text(json::to_pretty_json)),
    function("mustToPrettyJson", 1, 1, Text(json::to_pretty_json)),
    function("fromJson", 1, 1, Makes(json::from_json)),
    function("mustFromJson", 1, 1, Makes(json::from_json)),
    function("filterPEM", 2, 2, Text(pem::filter_pem)),
    function("filterCertChain", 2, 2, Text(pem::filter_cert_chain)),
    function("dockerconfigjson", 3, 96, Text(registry::dockerconfigjson)),
];

const fn function(name: &'static str, min: usize, max: usize, body: Body) -> Function {
    Function {
        name,
        min,
        max,
        body,
    }
}

fn string(output: Output) -> Value {
    Value::String(output.into())
}

/// The text of `value`, charged to `work`.
pub(super) fn text_of<'v>(value: &'v Value, work: &Work) -> Result<TextOf<'v>, Fault> {
    let text = match value {
        Value::Null => {
            return Err(Fault::Cause(
                "needs text, not null; put `| default \"…\"` before it",
            ));
        }
        Value::Bool(flag) => TextOf::Borrowed(if *flag { "true" } else { "false" }),
        Value::Number(text) | Value::String(text) => {
            TextOf::Borrowed(text.expose_str().ok_or(json::NO_TEXT)?)
        }
        Value::Array(_) | Value::Object(_) => TextOf::Json(json::compact(value, work)?),
    };
    work.charge(text.len())?;
    Ok(text)
}

/// What cloning `value` costs.
fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Null | Value::Bool(_) => 0,
            Value::Number(text) | Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(members) => members
                .iter()
                .map(|(key, value)| size_of::<String>() + key.len() + weight(value))
                .sum(),
        }
}

// === impl Function ===

impl Function {
    /// Whether its first argument becomes an error text.
    pub(super) fn shows_its_text(&self) -> bool {
        ["fail", "required"].contains(&self.name)
    }

    pub(super) fn check_count(&self, arguments: usize) -> Result<(), TemplateError> {
        if (self.min..=self.max).contains(&arguments) {
            return Ok(());
        }
        let cause = if arguments < self.min {
            "is given too few operands"
        } else {
            "is given too many operands"
        };
        Err(Fault::Cause(cause).of(self.name))
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

// === impl Fault ===

impl Fault {
    pub(super) fn of(self, function: &'static str) -> TemplateError {
        match self {
            Self::Cause(cause) => TemplateError::Function { function, cause },
            Self::Failed(text) => TemplateError::Failed(text),
            Self::TooLong => TemplateError::TooLong,
            Self::TooMuch => TemplateError::TooMuch,
        }
    }
}

// === impl Arguments ===

impl<'a> Arguments<'a> {
    pub(super) fn new(data: Vec<Datum<'a>>, work: &'a Work) -> Result<Self, TemplateError> {
        let values = data
            .into_iter()
            .map(Datum::present)
            .collect::<Result<_, _>>()?;
        Ok(Self { values, work })
    }

    /// Null when there are fewer, which the table leaves to functions with a varying number.
    fn value(&self, index: usize) -> &Value {
        self.values.get(index).map_or(&Value::Null, |value| value)
    }

    fn iter(&self) -> impl Iterator<Item = &Value> {
        self.values.iter().map(|value| &**value)
    }

    fn text(&self, index: usize) -> Result<TextOf<'_>, Fault> {
        text_of(self.value(index), self.work)
    }

    /// The bytes of one, which need not be text when they come from `b64dec`.
    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>, Fault> {
        match self.value(index) {
            Value::String(bytes) => self
                .work
                .charge(bytes.len())
                .map(|()| Cow::Borrowed(bytes.expose())),
            _ => self
                .text(index)
                .map(|text| Cow::Owned(text.as_bytes().to_vec())),
        }
    }

    /// The text of each, without those that are null.
    fn texts(&self) -> impl Iterator<Item = Result<TextOf<'_>, Fault>> {
        self.iter()
            .filter(|value| **value != Value::Null)
            .map(|value| text_of(value, self.work))
    }

    fn integer(&self, index: usize) -> Result<i64, Fault> {
        number::integer(&self.text(index)?).ok_or(Fault::Cause("needs a whole number"))
    }

    /// A whole number from 0.
    fn size(&self, index: usize) -> Result<usize, Fault> {
        usize::try_from(self.integer(index)?)
            .map_err(|_negative| Fault::Cause("needs a number from 0"))
    }

    /// A copy of `value`, which is one of these or a part of it.
    fn copy(&self, value: &Value) -> Result<Value, Fault> {
        self.work.charge(weight(value))?;
        Ok(value.clone())
    }
}

// === impl Work ===

impl Work {
    fn charge(&self, bytes: usize) -> Result<(), Fault> {
        self.0.set(self.0.get().saturating_add(bytes));
        if self.0.get() > MAX_WORK {
            Err(Fault::TooMuch)
        } else {
            Ok(())
        }
    }

    /// Looking for a member compares its name with one after the other.
    pub(super) fn charge_lookup(&self, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Object(members) => self.charge(members.len() * size_of::<usize>()),
            _ => Ok(()),
        }
    }

    pub(super) fn charge_lookups(&self, arguments: &[Datum<'_>]) -> Result<(), Fault> {
        arguments
            .iter()
            .try_for_each(|argument| self.charge_lookup(argument.or_null()))
    }

    /// What a function made.
    pub(super) fn made<'a>(&self, value: Value) -> Result<Datum<'a>, Fault> {
        self.charge(weight(&value))
            .map(|()| Datum::Present(Cow::Owned(value)))
    }
}

// === impl TextOf ===

impl Deref for TextOf<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Json(json) => json,
        }
    }
}

impl AsRef<[u8]> for TextOf<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<TextOf<'_>> for Secret {
    fn from(text: TextOf<'_>) -> Self {
        (&*text).into()
    }
}
