//! JSON to and from text.

use envlatch_secret::{Secret, Value};
use zeroize::Zeroizing;

use super::{Arguments, Fault, Work};
use crate::template::output::Output;

/// What `b64dec` made need not be text.
pub(super) const NO_TEXT: Fault = Fault::Cause("needs text, not bytes that are no UTF-8");

pub(super) fn to_json(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    output.push(compact(arguments.value(0), arguments.work)?.as_bytes())
}

/// `value` as JSON, which has no way to spell bytes that are no text.
pub(super) fn compact(value: &Value, work: &Work) -> Result<Zeroizing<String>, Fault> {
    work.charge(super::weight(value))?;
    if !is_text(value) {
        return Err(NO_TEXT);
    }
    let json: Secret = value.to_json();
    Ok(Zeroizing::new(
        json.expose_str().unwrap_or_default().to_owned(),
    ))
}

fn is_text(value: &Value) -> bool {
    match value {
        Value::String(text) => text.expose_str().is_some(),
        Value::Array(items) => items.iter().all(is_text),
        Value::Object(members) => members.iter().all(|(_, value)| is_text(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

pub(super) fn to_pretty_json(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    pretty(arguments.value(0), 0, arguments.work, output)
}

/// Two blanks per level, as Go's `json.MarshalIndent(value, "", "  ")`.
fn pretty(value: &Value, depth: usize, work: &Work, output: &mut Output) -> Result<(), Fault> {
    let line = |output: &mut Output, depth| {
        output
            .push("\n")
            .and_then(|()| output.push_times("  ", depth))
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                output.push(if index == 0 { "[" } else { "," })?;
                line(output, depth + 1)?;
                pretty(item, depth + 1, work, output)?;
            }
            line(output, depth)?;
            output.push("]")
        }
        Value::Object(members) if !members.is_empty() => {
            for (index, (key, member)) in members.iter().enumerate() {
                output.push(if index == 0 { "{" } else { "," })?;
                line(output, depth + 1)?;
                output.push(compact(&Value::String(key.as_str().into()), work)?.as_bytes())?;
                output.push(": ")?;
                pretty(member, depth + 1, work, output)?;
            }
            line(output, depth)?;
            output.push("}")
        }
        leaf => output.push(compact(leaf, work)?.as_bytes()),
    }
}

pub(super) fn from_json(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Value::parse(arguments.text(0)?.as_bytes())
        .map_err(|_tells_a_place_in_the_value| Fault::Cause("needs JSON"))
}
