//! Functions that choose and compare.

use std::borrow::Cow;
use std::cmp::Ordering;

use envlatch_secret::Value;

use super::{Arguments, Fault};
use crate::template::eval::Datum;
use crate::template::number;

/// What Go's templates and sprig hold for empty. A number never is: peers hold the numbers of a secret as text.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

pub(super) fn is_not_empty(value: &Value) -> bool {
    !is_empty(value)
}

fn boolean<'a>(flag: bool) -> Datum<'a> {
    Datum::Present(Cow::Owned(Value::Bool(flag)))
}

/// The last argument, which is the one worked on.
fn pop<'a>(arguments: &mut Vec<Datum<'a>>) -> Datum<'a> {
    arguments
        .pop()
        .unwrap_or(Datum::Present(Cow::Owned(Value::Null)))
}

pub(super) fn default(mut arguments: Vec<Datum<'_>>) -> Result<Datum<'_>, Fault> {
    let given = pop(&mut arguments);
    let only_default = arguments.is_empty();
    Ok(if only_default || is_not_empty(given.or_null()) {
        given
    } else {
        pop(&mut arguments)
    })
}

pub(super) fn coalesce(arguments: Vec<Datum<'_>>) -> Result<Datum<'_>, Fault> {
    let none = Datum::Present(Cow::Owned(Value::Null));
    Ok(arguments
        .into_iter()
        .find(|datum| is_not_empty(datum.or_null()))
        .unwrap_or(none))
}

pub(super) fn required(mut arguments: Vec<Datum<'_>>) -> Result<Datum<'_>, Fault> {
    let given = pop(&mut arguments);
    match given.or_null() {
        Value::Null => failure(pop(&mut arguments).or_null()),
        Value::String(text) if text.is_empty() => failure(pop(&mut arguments).or_null()),
        _ => Ok(given),
    }
}

pub(super) fn fail(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    failure(arguments.value(0))
}

/// The parser lets only a literal through as the text, so it is the manifest's own and may be shown.
fn failure<T>(text: &Value) -> Result<T, Fault> {
    Err(Fault::Failed(
        text.to_text().expose_str().unwrap_or_default().to_owned(),
    ))
}

pub(super) fn ternary(mut arguments: Vec<Datum<'_>>) -> Result<Datum<'_>, Fault> {
    let condition = pop(&mut arguments);
    let otherwise = pop(&mut arguments);
    match condition.or_null() {
        Value::Bool(true) => Ok(pop(&mut arguments)),
        Value::Bool(false) | Value::Null => Ok(otherwise),
        _ => Err(Fault::Cause(
            "needs true or false as its last operand; compare text with eq",
        )),
    }
}

pub(super) fn empty(mut arguments: Vec<Datum<'_>>) -> Result<Datum<'_>, Fault> {
    Ok(boolean(is_empty(pop(&mut arguments).or_null())))
}

pub(super) fn eq(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let first = arguments.value(0);
    let equal = arguments
        .iter()
        .skip(1)
        .map(|other| equals(first, other, arguments));
    Ok(Value::Bool(
        equal.collect::<Result<Vec<_>, _>>()?.contains(&true),
    ))
}

pub(super) fn ne(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    equals(arguments.value(0), arguments.value(1), arguments).map(|equal| Value::Bool(!equal))
}

/// A number and text are equal when they are spelt alike; null equals null only.
fn equals(a: &Value, b: &Value, arguments: &Arguments<'_>) -> Result<bool, Fault> {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => Ok(a == b),
        (Value::Number(_), Value::String(_)) | (Value::String(_), Value::Number(_)) => {
            let text = |value| super::text_of(value, arguments.work);
            Ok(*text(a)? == *text(b)?)
        }
        _ => order(a, b, arguments).map(Ordering::is_eq),
    }
}

pub(super) fn lt(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    compare(arguments, Ordering::is_lt)
}

pub(super) fn le(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    compare(arguments, Ordering::is_le)
}

pub(super) fn gt(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    compare(arguments, Ordering::is_gt)
}

pub(super) fn ge(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    compare(arguments, Ordering::is_ge)
}

fn compare(arguments: &Arguments<'_>, holds: fn(Ordering) -> bool) -> Result<Value, Fault> {
    order(arguments.value(0), arguments.value(1), arguments).map(|order| Value::Bool(holds(order)))
}

fn order(a: &Value, b: &Value, arguments: &Arguments<'_>) -> Result<Ordering, Fault> {
    let text = |value| super::text_of(value, arguments.work);
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => Ok(number::compare(&text(a)?, &text(b)?)),
        (Value::String(_), Value::String(_)) => Ok(text(a)?.cmp(&text(b)?)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err(Fault::Cause("cannot compare maps and lists"))
        }
        _ => Err(Fault::Cause(
            "cannot compare values of two types; make text of both with toString",
        )),
    }
}
