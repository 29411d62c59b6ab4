//! Functions that change the form of text: base64, base32, URLs, JSON.

use base32ct::{Base32, Encoding as _};
use base64ct::{Base64, Encoding as _};
use envlatch_secret::{Secret, Value};

use super::{Bounded, Fault, MAX_OUTPUT, string, text};

pub(super) fn b64enc(arguments: &[Value]) -> Result<Value, Fault> {
    Bounded::of([Base64::encode_string(only(arguments).expose())])
}

pub(super) fn b64dec(arguments: &[Value]) -> Result<Value, Fault> {
    let decoded = Base64::decode_vec(&one_line(arguments)?);
    decoded
        .map(bytes)
        .map_err(|_position| Fault::Cause("needs base64 with its padding"))
}

pub(super) fn b32enc(arguments: &[Value]) -> Result<Value, Fault> {
    Bounded::of([Base32::encode_string(only(arguments).expose()).to_ascii_uppercase()])
}

pub(super) fn b32dec(arguments: &[Value]) -> Result<Value, Fault> {
    let decoded = Base32::decode_vec(&one_line(arguments)?.to_ascii_lowercase());
    decoded
        .map(bytes)
        .map_err(|_position| Fault::Cause("needs base32 with its padding"))
}

fn only(arguments: &[Value]) -> Secret {
    arguments.first().map(Value::to_text).unwrap_or_default()
}

fn bytes(bytes: Vec<u8>) -> Value {
    Value::String(Secret::new(bytes))
}

/// Line breaks are no part of the data: `base64(1)` and PEM-like sources put them in.
fn one_line(arguments: &[Value]) -> Result<String, Fault> {
    Ok(arguments
        .first()
        .map_or(Ok(String::new()), text)?
        .replace(['\n', '\r'], ""))
}

/// As Go's `url.QueryEscape`: a blank becomes `+`, what RFC 3986 calls unreserved stays.
pub(super) fn urlquery(arguments: &[Value]) -> Result<Value, Fault> {
    let mut escaped = Bounded::default();
    for byte in arguments
        .iter()
        .flat_map(|argument| argument.to_text().expose().to_vec())
    {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte).encode_utf8(&mut [0; 1]))?;
            }
            b' ' => escaped.push("+")?,
            other => escaped.push(&format!("%{other:02X}"))?,
        }
    }
    Ok(string(escaped.0))
}

pub(super) fn to_json(arguments: &[Value]) -> Result<Value, Fault> {
    let json = arguments.first().map(Value::to_json).unwrap_or_default();
    if json.len() > MAX_OUTPUT {
        Err(Fault::TooLong)
    } else {
        Ok(Value::String(json))
    }
}

pub(super) fn to_pretty_json(arguments: &[Value]) -> Result<Value, Fault> {
    let mut json = Bounded::default();
    pretty(arguments.first().unwrap_or(&Value::Null), 0, &mut json)?;
    Ok(string(json.0))
}

/// Two blanks per level, as Go's `json.MarshalIndent(value, "", "  ")`.
fn pretty(value: &Value, depth: usize, json: &mut Bounded) -> Result<(), Fault> {
    let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
    match value {
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                json.push(if index == 0 { "[" } else { "," })?;
                json.push(&line(depth + 1))?;
                pretty(item, depth + 1, json)?;
            }
            json.push(&line(depth))?;
            json.push("]")
        }
        Value::Object(members) if !members.is_empty() => {
            for (index, (key, member)) in members.iter().enumerate() {
                json.push(if index == 0 { "{" } else { "," })?;
                json.push(&line(depth + 1))?;
                json.push(&text(&Value::String(string(key.clone()).to_json()))?)?;
                json.push(": ")?;
                pretty(member, depth + 1, json)?;
            }
            json.push(&line(depth))?;
            json.push("}")
        }
        leaf => json.push(&text(&Value::String(leaf.to_json()))?),
    }
}

pub(super) fn from_json(arguments: &[Value]) -> Result<Value, Fault> {
    Value::parse(only(arguments).expose())
        .map_err(|_position_in_a_secret| Fault::Cause("needs JSON"))
}
