//! The functions of templates: Go's own, and sprig's for text, encodings, JSON and defaults, with their argument order.

mod encoding;
mod logic;
mod text;

use envlatch_secret::Value;

use super::eval::Datum;
use super::{MAX_OUTPUT, TemplateError};

/// One function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Fewest arguments
    min: usize,
    /// Most arguments
    max: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Every argument must be there.
    Strict(fn(&[Value]) -> Result<Value, Fault>),
    /// Takes care of absent arguments itself.
    Lenient(fn(Vec<Datum>) -> Result<Value, Fault>),
}

/// Why a function gives no value.
enum Fault {
    Cause(&'static str),
    Failed(String),
    TooLong,
}

/// Any number of arguments.
const ANY: usize = usize::MAX;

const fn strict(
    name: &'static str,
    min: usize,
    max: usize,
    body: fn(&[Value]) -> Result<Value, Fault>,
) -> Function {
    Function {
        name,
        min,
        max,
        body: Body::Strict(body),
    }
}

const fn lenient(
    name: &'static str,
    min: usize,
    max: usize,
    body: fn(Vec<Datum>) -> Result<Value, Fault>,
) -> Function {
    Function {
        name,
        min,
        max,
        body: Body::Lenient(body),
    }
}

/// Every function.
pub(super) const FUNCTIONS: &[Function] = &[
    // Defaults
    lenient("default", 1, 2, logic::default), // default "x" .a: .a, or "x" when .a is absent or empty
    lenient("coalesce", 1, ANY, logic::coalesce), // coalesce .a .b: the first that is neither absent nor empty
    lenient("empty", 1, 1, logic::empty), // empty .a: whether .a is absent, null, "", 0, false, [] or {}
    lenient("required", 2, 2, logic::required), // required "text" .a: .a, or failure with the text
    lenient("ternary", 3, 3, logic::ternary), // ternary "yes" "no" .a: "yes" when .a is true
    strict("fail", 1, 1, logic::fail),    // fail "text": failure with the text
    // Comparing and choosing
    strict("eq", 2, ANY, logic::eq), // eq .a "x" "y": whether .a is one of them
    strict("ne", 2, 2, logic::ne),   // ne .a "x"
    strict("lt", 2, 2, logic::lt),   // lt .a 5; whole numbers by size, text by bytes
    strict("le", 2, 2, logic::le),
    strict("gt", 2, 2, logic::gt),
    strict("ge", 2, 2, logic::ge),
    lenient("and", 1, ANY, logic::and), // and .a .b: the first that is empty, else the last
    lenient("or", 1, ANY, logic::or),   // or .a .b: the first that is not empty, else the last
    lenient("not", 1, 1, logic::not),   // not .a
    // Maps and lists
    lenient("index", 1, ANY, logic::index), // index . "with-dash" 0: the member of a map or list
    strict("hasKey", 2, 2, logic::has_key), // hasKey . "a"
    strict("get", 2, 2, logic::get),        // get . "a": the member, "" when absent
    strict("len", 1, 1, logic::len),        // len .a: characters, items or keys
    strict("first", 1, 1, logic::first),    // first .list
    strict("last", 1, 1, logic::last),      // last .list
    // Text
    strict("print", 0, ANY, text::print), // print .a .b: side by side
    strict("println", 0, ANY, text::println), // println .a: with blanks between and a newline at the end
    strict("printf", 1, ANY, text::printf),   // printf "%s:%v" .a .b; %s %v %d %q %%
    strict("toString", 1, 1, text::to_string),
    strict("trim", 1, 1, text::trim),
    strict("trimAll", 2, 2, text::trim_all), // trimAll "/" .a
    strict("trimPrefix", 2, 2, text::trim_prefix), // trimPrefix "x-" .a
    strict("trimSuffix", 2, 2, text::trim_suffix),
    strict("upper", 1, 1, text::upper),
    strict("lower", 1, 1, text::lower),
    strict("title", 1, 1, text::title),
    strict("untitle", 1, 1, text::untitle),
    strict("swapcase", 1, 1, text::swapcase),
    strict("nospace", 1, 1, text::nospace),
    strict("repeat", 2, 2, text::repeat),     // repeat 3 .a
    strict("substr", 3, 3, text::substr),     // substr 0 5 .a; a negative end means the end
    strict("trunc", 2, 2, text::trunc),       // trunc 5 .a; trunc -5 keeps the end
    strict("abbrev", 2, 2, text::abbrev),     // abbrev 5 .a: cut with "..."
    strict("contains", 2, 2, text::contains), // contains "x" .a
    strict("hasPrefix", 2, 2, text::has_prefix),
    strict("hasSuffix", 2, 2, text::has_suffix),
    strict("replace", 3, 3, text::replace), // replace "old" "new" .a
    strict("quote", 0, ANY, text::quote),   // "a" "b"
    strict("squote", 0, ANY, text::squote), // 'a' 'b'
    strict("cat", 0, ANY, text::cat),       // with blanks between
    strict("indent", 2, 2, text::indent),   // indent 4 .a
    strict("nindent", 2, 2, text::nindent), // a newline, then as indent
    strict("initials", 1, 1, text::initials),
    strict("join", 2, 2, text::join),            // join "," .list
    strict("splitList", 2, 2, text::split_list), // splitList "," .a: a list
    strict("split", 2, 2, text::split),          // (split "," .a)._0
    // Encodings
    strict("b64enc", 1, 1, encoding::b64enc),
    strict("b64dec", 1, 1, encoding::b64dec),
    strict("b32enc", 1, 1, encoding::b32enc),
    strict("b32dec", 1, 1, encoding::b32dec),
    strict("urlquery", 1, ANY, encoding::urlquery),
    // JSON
    strict("toJson", 1, 1, encoding::to_json),
    strict("mustToJson", 1, 1, encoding::to_json),
    strict("toRawJson", 1, 1, encoding::to_json),
    strict("mustToRawJson", 1, 1, encoding::to_json),
    strict("toPrettyJson", 1, 1, encoding::to_pretty_json),
    strict("mustToPrettyJson", 1, 1, encoding::to_pretty_json),
    strict("fromJson", 1, 1, encoding::from_json),
    strict("mustFromJson", 1, 1, encoding::from_json),
];

/// Why a function or keyword that peers know is left out, if it is one.
pub(super) fn withheld(name: &str) -> Option<&'static str> {
    match name {
        "if" | "else" | "end" | "range" | "with" | "define" | "block" | "template" | "break"
        | "continue" => Some("there are no control structures; use default, coalesce or ternary"),
        "env" | "expandenv" => Some("a template may not read the environment"),
        "file" | "blob" => Some("a template may not read files; use a file: reference"),
        "getHostByName" | "awskms" | "gcpkms" | "accessor" => {
            Some("a template may not use the network")
        }
        "now" | "date" | "uuidv4" | "randAlphaNum" | "randAlpha" | "randNumeric" | "randAscii"
        | "shuffle" => Some("a template gives the same text for the same secret"),
        "genPrivateKey" | "genCA" | "genSelfSignedCert" | "genSignedCert" | "htpasswd"
        | "bcrypt" | "derivePassword" => {
            Some("keys and certificates come from the server, as with >>vault:pki/issue/ROLE")
        }
        _ => None,
    }
}

/// The text of a value; what `b64dec` made may be none.
fn text(value: &Value) -> Result<String, Fault> {
    value
        .to_text()
        .expose_str()
        .map(str::to_owned)
        .ok_or(Fault::Cause("needs text, not bytes that are no UTF-8"))
}

fn string(text: String) -> Value {
    Value::String(text.into())
}

fn integer(value: &Value) -> Result<i64, Fault> {
    text(value)?
        .parse()
        .map_err(|_not_a_number| Fault::Cause("needs a whole number"))
}

/// A text under construction that refuses to grow beyond [`MAX_OUTPUT`].
#[derive(Default)]
struct Bounded(String);

// === impl Bounded ===

impl Bounded {
    fn push(&mut self, text: &str) -> Result<(), Fault> {
        if self.0.len() + text.len() > MAX_OUTPUT {
            return Err(Fault::TooLong);
        }
        self.0.push_str(text);
        Ok(())
    }

    fn of(pieces: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Value, Fault> {
        let mut bounded = Self::default();
        for piece in pieces {
            bounded.push(piece.as_ref())?;
        }
        Ok(string(bounded.0))
    }
}

// === impl Function ===

impl Function {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// Whether its first argument becomes an error text.
    pub(super) fn shows_its_text(&self) -> bool {
        ["fail", "required"].contains(&self.name)
    }

    pub(super) fn call(&self, arguments: Vec<Datum>) -> Result<Value, TemplateError> {
        if arguments.len() < self.min || arguments.len() > self.max {
            return Err(TemplateError::Function {
                function: self.name,
                cause: "has too few or too many arguments",
            });
        }
        let result = match self.body {
            Body::Lenient(body) => body(arguments),
            Body::Strict(body) => body(
                &arguments
                    .into_iter()
                    .map(Datum::present)
                    .collect::<Result<Vec<_>, _>>()?,
            ),
        };
        result.map_err(|fault| match fault {
            Fault::Cause(cause) => TemplateError::Function {
                function: self.name,
                cause,
            },
            Fault::Failed(text) => TemplateError::Failed(text),
            Fault::TooLong => TemplateError::TooLong,
        })
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}
