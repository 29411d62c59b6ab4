//! A JSON document whose leaves are secrets.
//!
//! Parsing keeps what a server sent exactly: the digits of a number are never rounded, the order of an object's keys is
//! kept, and what JSON leaves open is refused rather than guessed (a key twice in one object, nesting beyond
//! [`MAX_DEPTH`]). Error texts give a position, never content: serde_json's own messages can quote the document.
//!
//! The document is taken apart level by level over serde_json's `RawValue`, not with its `arbitrary_precision`: that
//! feature holds for the whole build and breaks internally tagged types, which Kubernetes clients are full of.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::Secret;

/// How deeply arrays and objects may nest: far beyond any real secret, far below what would exhaust a stack.
pub const MAX_DEPTH: usize = 64;

/// A JSON value. Numbers keep their text, objects keep their order.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as its literal text
    Number(Secret),
    /// A string, unescaped, as UTF-8
    String(Secret),
    /// An array
    Array(Vec<Value>),
    /// An object; keys are unique and in the order of the document
    Object(Vec<(String, Value)>),
}

/// Why a text is not accepted as a JSON document. Positions count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Not JSON, or cut short.
    #[error("not valid JSON (line {line}, column {column})")]
    Syntax {
        /// Line of the first unexpected byte
        line: usize,
        /// Column of the first unexpected byte
        column: usize,
    },
    /// An object names one key twice, so its meaning depends on the reader.
    #[error("JSON object with a key given twice (object at line {line}, column {column})")]
    DuplicateKey {
        /// Line where the object starts
        line: usize,
        /// Column where the object starts
        column: usize,
    },
    /// Arrays and objects nest deeper than [`MAX_DEPTH`].
    #[error("JSON nested deeper than {MAX_DEPTH} levels (line {line}, column {column})")]
    TooDeep {
        /// Line where the first level too many starts
        line: usize,
        /// Column where the first level too many starts
        column: usize,
    },
}

/// One object, its values not yet taken apart.
struct RawObject<'a>(Vec<(String, &'a RawValue)>);

/// The whole text, to turn a place inside it into a line and a column.
struct Document<'a>(&'a str);

// === impl Value ===

impl Value {
    /// Parses one JSON document; only white space may follow it.
    ///
    /// # Errors
    /// [`ParseError`] with the position, and no part of the text.
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        let raw: &RawValue = serde_json::from_slice(json).map_err(|error| ParseError::Syntax {
            line: error.line(),
            column: error.column(),
        })?;
        Document(raw.get()).value(raw, 0)
    }

    /// The member `key` of an object; `None` when it is absent or this is no object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The name of its type as JSON spells it, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// The value as text the way an environment variable holds it: a string without quotes, `null` as nothing, a
    /// number or boolean as its literal, arrays and objects as compact JSON.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        match self {
            Self::Null => Secret::default(),
            Self::String(text) => text.clone(),
            other => other.to_json(),
        }
    }

    /// The value as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> Secret {
        let mut json = Vec::new();
        self.write_json(&mut json);
        Secret::new(json)
    }

    fn write_json(&self, json: &mut Vec<u8>) {
        match self {
            Self::Null => json.extend_from_slice(b"null"),
            Self::Bool(flag) => json.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Self::Number(digits) => json.extend_from_slice(digits.expose()),
            Self::String(text) => write_json_string(&String::from_utf8_lossy(text.expose()), json),
            Self::Array(items) => {
                json.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        json.push(b',');
                    }
                    item.write_json(json);
                }
                json.push(b']');
            }
            Self::Object(members) => {
                json.push(b'{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        json.push(b',');
                    }
                    write_json_string(key, json);
                    json.push(b':');
                    value.write_json(json);
                }
                json.push(b'}');
            }
        }
    }
}

fn write_json_string(text: &str, json: &mut Vec<u8>) {
    serde_json::to_writer(json, text)
        .expect("a string always serialises, and a Vec never refuses bytes");
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[REDACTED {}]", self.kind())
    }
}

// === impl Document ===

impl<'a> Document<'a> {
    fn value(&self, raw: &'a RawValue, depth: usize) -> Result<Value, ParseError> {
        let text = raw.get();
        let nested = text.starts_with(['{', '[']);
        if nested && depth == MAX_DEPTH {
            let (line, column) = self.position(text);
            return Err(ParseError::TooDeep { line, column });
        }
        match text.as_bytes().first() {
            Some(b'n') => Ok(Value::Null),
            Some(b't') => Ok(Value::Bool(true)),
            Some(b'f') => Ok(Value::Bool(false)),
            Some(b'"') => Ok(Value::String(self.part::<String>(text)?.into())),
            Some(b'[') => {
                let items = self.part::<Vec<&RawValue>>(text)?;
                items
                    .into_iter()
                    .map(|item| self.value(item, depth + 1))
                    .collect::<Result<_, _>>()
                    .map(Value::Array)
            }
            Some(b'{') => self.object(text, depth),
            _ => Ok(Value::Number(text.into())),
        }
    }

    fn object(&self, text: &'a str, depth: usize) -> Result<Value, ParseError> {
        let RawObject(members) = self.part(text)?;
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            let (line, column) = self.position(text);
            return Err(ParseError::DuplicateKey { line, column });
        }
        let value = |(name, raw)| Ok((name, self.value(raw, depth + 1)?));
        members
            .into_iter()
            .map(value)
            .collect::<Result<_, _>>()
            .map(Value::Object)
    }

    /// Reads one level. What can still fail here is a string whose escapes name no character.
    fn part<T: Deserialize<'a>>(&self, text: &'a str) -> Result<T, ParseError> {
        serde_json::from_str(text).map_err(|error| {
            let (line, column) = self.position(text);
            match error.line() {
                1 => ParseError::Syntax {
                    line,
                    column: column + error.column().saturating_sub(1),
                },
                further => ParseError::Syntax {
                    line: line + further - 1,
                    column: error.column(),
                },
            }
        })
    }

    /// Line and column of `part`, which is a slice of the document.
    fn position(&self, part: &str) -> (usize, usize) {
        let offset = part.as_ptr() as usize - self.0.as_ptr() as usize;
        let before = &self.0.as_bytes()[..offset];
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        (
            1 + before.iter().filter(|byte| **byte == b'\n').count(),
            1 + offset - line_start,
        )
    }
}

// === impl RawObject ===

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> Value {
        Value::parse(text.as_bytes()).unwrap()
    }

    fn text(value: &Value) -> String {
        String::from_utf8(value.to_text().expose().to_vec()).unwrap()
    }

    #[test]
    fn digits_stay_as_they_were_sent() {
        for digits in ["12.50", "9007199254740993", "1e400", "-0", "0.1000"] {
            assert_eq!(text(&json(digits)), digits);
        }
    }

    #[test]
    fn text_of_each_type() {
        for (document, expected) in [
            ("null", ""),
            ("true", "true"),
            (r#""a\nb\u00e9""#, "a\nbé"),
            ("[ 1, \"x\" ]", r#"[1,"x"]"#),
            (
                "{ \"b\": 1,\n \"a\": {\"c\": null} }",
                r#"{"b":1,"a":{"c":null}}"#,
            ),
        ] {
            assert_eq!(text(&json(document)), expected, "{document}");
        }
    }

    #[test]
    fn refusals_give_a_position_and_no_content() {
        use ParseError::{DuplicateKey, Syntax, TooDeep};
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let cases = [
            ("hunter2".to_owned(), Syntax { line: 1, column: 1 }),
            (
                "{\"a\":\n  \"hunter2".to_owned(),
                Syntax {
                    line: 2,
                    column: 10,
                },
            ),
            ("{} hunter2".to_owned(), Syntax { line: 1, column: 4 }),
            (
                "[\n{\"a\":1,\"a\":2}]".to_owned(),
                DuplicateKey { line: 2, column: 1 },
            ),
            ("[\"\\ud800\"]".to_owned(), Syntax { line: 1, column: 9 }),
            (
                deep(MAX_DEPTH + 1),
                TooDeep {
                    line: 1,
                    column: MAX_DEPTH + 1,
                },
            ),
            (String::new(), Syntax { line: 1, column: 0 }),
        ];
        for (document, expected) in cases {
            assert_eq!(
                Value::parse(document.as_bytes()).unwrap_err(),
                expected,
                "{document}"
            );
            assert!(!expected.to_string().contains("hunter2"));
        }
        assert!(Value::parse(deep(MAX_DEPTH).as_bytes()).is_ok());
    }

    #[test]
    fn a_hundred_thousand_levels_do_not_exhaust_the_stack() {
        assert!(matches!(
            Value::parse("[".repeat(100_000).as_bytes()),
            Err(ParseError::Syntax { .. })
        ));
        let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(
            Value::parse(closed.as_bytes()),
            Err(ParseError::TooDeep { .. })
        ));
    }

    #[test]
    fn debug_shows_only_the_type() {
        assert_eq!(
            format!("{:?}", json(r#"{"password":"hunter2"}"#)),
            "[REDACTED object]"
        );
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_every_string(content in ".*") {
            let document = serde_json::to_string(&content).unwrap();
            let value = json(&document);
            prop_assert_eq!(text(&value), content);
            let rendered = value.to_json();
            prop_assert_eq!(rendered.expose(), document.as_bytes());
        }

        #[test]
        fn never_panics(document in prop::collection::vec(prop::sample::select(b"{}[]\",:01-.eEtruefalsn\\u \n".to_vec()), 0..60)) {
            let ours = Value::parse(&document);
            if ours.is_ok() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&document).is_ok()
                    || document.contains(&b'e') || document.contains(&b'E'), "numbers beyond f64 are ours alone to accept");
            }
        }
    }
}
