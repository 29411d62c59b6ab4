//! Functions that choose: defaults, comparisons, members of maps and lists.

use std::cmp::Ordering;

use envlatch_secret::Value;

use super::{Fault, integer, text};
use crate::template::eval::Datum;

/// What Go's templates and sprig hold for false: absent, null, "", 0, false, and lists and maps without content.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        // 0, -0, 0.00 and 0e9 alike: a zero has no other digit before its exponent.
        Value::Number(digits) => {
            let mut mantissa = digits.expose().split(|byte| matches!(byte, b'e' | b'E'));
            !mantissa
                .next()
                .unwrap_or_default()
                .iter()
                .any(|byte| matches!(byte, b'1'..=b'9'))
        }
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// An absent key counts as null.
fn or_null(datum: Datum) -> Value {
    datum.present().unwrap_or(Value::Null)
}

fn pop(arguments: &mut Vec<Datum>) -> Value {
    arguments.pop().map_or(Value::Null, or_null)
}

pub(super) fn default(mut arguments: Vec<Datum>) -> Result<Value, Fault> {
    let given = if arguments.len() == 2 {
        pop(&mut arguments)
    } else {
        Value::Null
    };
    Ok(if is_empty(&given) {
        pop(&mut arguments)
    } else {
        given
    })
}

pub(super) fn coalesce(arguments: Vec<Datum>) -> Result<Value, Fault> {
    Ok(arguments
        .into_iter()
        .map(or_null)
        .find(|value| !is_empty(value))
        .unwrap_or(Value::Null))
}

pub(super) fn empty(mut arguments: Vec<Datum>) -> Result<Value, Fault> {
    Ok(Value::Bool(is_empty(&pop(&mut arguments))))
}

pub(super) fn required(mut arguments: Vec<Datum>) -> Result<Value, Fault> {
    let given = pop(&mut arguments);
    match given {
        Value::Null => fail(&[pop(&mut arguments)]),
        Value::String(ref content) if content.is_empty() => fail(&[pop(&mut arguments)]),
        given => Ok(given),
    }
}

/// The parser lets only a literal through as the text, so it is the manifest's own and may be shown.
pub(super) fn fail(arguments: &[Value]) -> Result<Value, Fault> {
    Err(Fault::Failed(
        arguments.first().map_or(Ok(String::new()), text)?,
    ))
}

pub(super) fn ternary(mut arguments: Vec<Datum>) -> Result<Value, Fault> {
    let condition = !is_empty(&pop(&mut arguments));
    let (otherwise, then) = (pop(&mut arguments), pop(&mut arguments));
    Ok(if condition { then } else { otherwise })
}

pub(super) fn and(arguments: Vec<Datum>) -> Result<Value, Fault> {
    choose(arguments, is_empty)
}

pub(super) fn or(arguments: Vec<Datum>) -> Result<Value, Fault> {
    choose(arguments, |value| !is_empty(value))
}

/// The first value that `decides`, else the last.
fn choose(arguments: Vec<Datum>, decides: fn(&Value) -> bool) -> Result<Value, Fault> {
    let mut last = Value::Null;
    for value in arguments.into_iter().map(or_null) {
        if decides(&value) {
            return Ok(value);
        }
        last = value;
    }
    Ok(last)
}

pub(super) fn not(mut arguments: Vec<Datum>) -> Result<Value, Fault> {
    Ok(Value::Bool(is_empty(&pop(&mut arguments))))
}

pub(super) fn eq(arguments: &[Value]) -> Result<Value, Fault> {
    let Some((first, others)) = arguments.split_first() else {
        return Ok(Value::Bool(false));
    };
    let same = others
        .iter()
        .map(|other| Ok(order(first, other)? == Ordering::Equal));
    Ok(Value::Bool(
        same.collect::<Result<Vec<_>, _>>()?.contains(&true),
    ))
}

pub(super) fn ne(arguments: &[Value]) -> Result<Value, Fault> {
    compare(arguments, Ordering::is_ne)
}

pub(super) fn lt(arguments: &[Value]) -> Result<Value, Fault> {
    compare(arguments, Ordering::is_lt)
}

pub(super) fn le(arguments: &[Value]) -> Result<Value, Fault> {
    compare(arguments, Ordering::is_le)
}

pub(super) fn gt(arguments: &[Value]) -> Result<Value, Fault> {
    compare(arguments, Ordering::is_gt)
}

pub(super) fn ge(arguments: &[Value]) -> Result<Value, Fault> {
    compare(arguments, Ordering::is_ge)
}

fn compare(arguments: &[Value], holds: fn(Ordering) -> bool) -> Result<Value, Fault> {
    match arguments {
        [a, b] => Ok(Value::Bool(holds(order(a, b)?))),
        _ => Err(Fault::Cause("needs two values")),
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, Fault> {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => Ok(integer(a)?.cmp(&integer(b)?)),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err(Fault::Cause("cannot compare maps or lists"))
        }
        _ if a.kind() == b.kind() => Ok(text(a)?.cmp(&text(b)?)),
        _ => Err(Fault::Cause("cannot compare values of two types")),
    }
}

pub(super) fn index(arguments: Vec<Datum>) -> Result<Value, Fault> {
    let mut arguments = arguments.into_iter().map(or_null);
    let mut inside = arguments.next().unwrap_or(Value::Null);
    for key in arguments {
        let absent =
            Fault::Cause("there is no such member; use get or default if it may be absent");
        inside = match &inside {
            Value::Object(_) => inside.get(&text(&key)?).cloned().ok_or(absent)?,
            Value::Array(items) => {
                let index = text(&key)?
                    .parse::<usize>()
                    .map_err(|_not_an_index| Fault::Cause("a list needs a number"))?;
                items.get(index).cloned().ok_or(absent)?
            }
            _ => return Err(Fault::Cause("needs a map or a list")),
        };
    }
    Ok(inside)
}

pub(super) fn has_key(arguments: &[Value]) -> Result<Value, Fault> {
    member(arguments).map(|member| Value::Bool(member.is_some()))
}

pub(super) fn get(arguments: &[Value]) -> Result<Value, Fault> {
    member(arguments).map(|member| member.cloned().unwrap_or(Value::String("".into())))
}

fn member(arguments: &[Value]) -> Result<Option<&Value>, Fault> {
    match arguments {
        [map @ Value::Object(_), key] => Ok(map.get(&text(key)?)),
        _ => Err(Fault::Cause("needs a map and a key")),
    }
}

pub(super) fn len(arguments: &[Value]) -> Result<Value, Fault> {
    let length = match arguments {
        [Value::Array(items)] => items.len(),
        [Value::Object(members)] => members.len(),
        [Value::String(content)] => content.len(),
        _ => return Err(Fault::Cause("needs text, a map or a list")),
    };
    Ok(Value::Number(length.to_string().into()))
}

pub(super) fn first(arguments: &[Value]) -> Result<Value, Fault> {
    end(arguments, <[Value]>::first)
}

pub(super) fn last(arguments: &[Value]) -> Result<Value, Fault> {
    end(arguments, <[Value]>::last)
}

fn end(arguments: &[Value], which: fn(&[Value]) -> Option<&Value>) -> Result<Value, Fault> {
    match arguments {
        [Value::Array(items)] => which(items)
            .cloned()
            .ok_or(Fault::Cause("the list is empty")),
        _ => Err(Fault::Cause("needs a list")),
    }
}
