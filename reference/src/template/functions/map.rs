//! Functions on maps and lists.

use std::borrow::Cow;

use envlatch_secret::{MAX_DEPTH, Value};

use super::{Arguments, Fault, string};
use crate::template::eval::{Datum, Missing};
use crate::template::output::Output;

/// Most items of a list that a function makes: each takes more memory than its text.
const MAX_ITEMS: usize = 65_536;

/// The members of `inside` that `keys` name, from the outside in.
fn descend<'a>(inside: Datum<'a>, keys: &[Datum<'_>]) -> Result<Datum<'a>, Fault> {
    keys.iter().try_fold(inside, |inside, key| match inside {
        Datum::Present(Cow::Borrowed(value)) => member(value, key.or_null()).map(Datum::borrowed),
        Datum::Present(Cow::Owned(value)) => member(&value, key.or_null()).map(Datum::owned),
        absent => Ok(absent),
    })
}

fn member<'v>(value: &'v Value, key: &Value) -> Result<Result<&'v Value, Missing<'v>>, Fault> {
    let missing = |looked_for| Missing {
        key: String::new(),
        looked_for,
    };
    match (value, key) {
        (Value::Object(_) | Value::Null, Value::String(name)) => {
            let name = name.expose_str().ok_or(super::json::NO_TEXT)?;
            Ok(value
                .get(name)
                .ok_or_else(|| missing(Some((name.to_owned(), value)))))
        }
        (Value::Array(items), Value::Number(digits)) => {
            let index = digits
                .expose_str()
                .and_then(|digits| digits.parse::<usize>().ok());
            Ok(index
                .and_then(|index| items.get(index))
                .ok_or_else(|| missing(None)))
        }
        (Value::Object(_), _) => Err(Fault::Cause("needs text as the key of a map")),
        (Value::Array(_), _) => Err(Fault::Cause("needs a number as the place in a list")),
        _ => Err(Fault::Cause("needs a map or a list to look into")),
    }
}

pub(super) fn index(mut arguments: Vec<Datum<'_>>) -> Result<Datum<'_>, Fault> {
    let keys = arguments.split_off(1);
    arguments
        .pop()
        .map_or(Err(Fault::Cause("needs a map or a list")), |inside| {
            descend(inside, &keys)
        })
}

pub(super) fn get(arguments: Vec<Datum<'_>>) -> Result<Datum<'_>, Fault> {
    Ok(match index(arguments)? {
        Datum::Absent(_) => Datum::Present(Cow::Owned(Value::String("".into()))),
        present => present,
    })
}

pub(super) fn has_key(arguments: Vec<Datum<'_>>) -> Result<Datum<'_>, Fault> {
    let has = matches!(index(arguments)?, Datum::Present(_));
    Ok(Datum::Present(Cow::Owned(Value::Bool(has))))
}

pub(super) fn dig(mut arguments: Vec<Datum<'_>>) -> Result<Datum<'_>, Fault> {
    let (Some(map), Some(default)) = (arguments.pop(), arguments.pop()) else {
        return Err(Fault::Cause("needs keys, a default and a map"));
    };
    Ok(match descend(map, &arguments)? {
        Datum::Absent(_) => default,
        present => present,
    })
}

pub(super) fn dict(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let mut members: Vec<(String, Value)> = Vec::new();
    let mut rest = arguments.iter();
    while let Some(key) = rest.next() {
        let key = super::text_of(key, arguments.work)?.to_owned();
        let value = arguments.copy(
            rest.next()
                .ok_or(Fault::Cause("needs a value for each key"))?,
        )?;
        match members.iter_mut().find(|(name, _)| *name == key) {
            Some((_, earlier)) => *earlier = value,
            None => members.push((key, value)),
        }
    }
    no_deeper(Value::Object(members))
}

pub(super) fn list(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let items = arguments
        .iter()
        .map(|item| arguments.copy(item))
        .collect::<Result<_, _>>()?;
    no_deeper(Value::Array(items))
}

/// Refuses to nest deeper than a secret may, so that nothing that follows exhausts the stack.
fn no_deeper(value: Value) -> Result<Value, Fault> {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(members) => {
                1 + members
                    .iter()
                    .map(|(_, value)| depth(value))
                    .max()
                    .unwrap_or(0)
            }
            _ => 0,
        }
    }
    if depth(&value) > MAX_DEPTH {
        Err(Fault::Cause("nests too deeply"))
    } else {
        Ok(value)
    }
}

pub(super) fn first(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    items(arguments, 0)?
        .first()
        .map_or(Ok(Value::Null), |item| arguments.copy(item))
}

pub(super) fn last(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    items(arguments, 0)?
        .last()
        .map_or(Ok(Value::Null), |item| arguments.copy(item))
}

fn items<'a>(arguments: &'a Arguments<'_>, index: usize) -> Result<&'a [Value], Fault> {
    match arguments.value(index) {
        Value::Array(items) => Ok(items),
        _ => Err(Fault::Cause("needs a list")),
    }
}

pub(super) fn slice(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let length = length(arguments)?;
    let bound = |index, otherwise| {
        if arguments.values.len() > index {
            arguments.size(index)
        } else {
            Ok(otherwise)
        }
    };
    let (start, end) = (bound(1, 0)?, bound(2, length)?);
    if start > end || end > length {
        return Err(Fault::Cause("is given a place beyond the end"));
    }
    match arguments.value(0) {
        Value::Array(items) => Ok(Value::Array(
            items[start..end]
                .iter()
                .map(|item| arguments.copy(item))
                .collect::<Result<_, _>>()?,
        )),
        _ => {
            let mut output = Output::default();
            output.push_chars(arguments.text(0)?.chars().skip(start).take(end - start))?;
            Ok(string(output))
        }
    }
}

pub(super) fn len(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok(Value::Number(length(arguments)?.to_string().into()))
}

fn length(arguments: &Arguments<'_>) -> Result<usize, Fault> {
    match arguments.value(0) {
        Value::Array(items) => Ok(items.len()),
        Value::Object(members) => Ok(members.len()),
        Value::String(_) | Value::Number(_) => Ok(arguments.text(0)?.chars().count()),
        Value::Null | Value::Bool(_) => Err(Fault::Cause("needs text, a map or a list")),
    }
}

/// What is no list counts as a list of it alone, as for sprig.
pub(super) fn join(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let separator = arguments.text(0)?;
    let single = std::slice::from_ref(arguments.value(1));
    let items = items(arguments, 1).unwrap_or(single);
    for (index, item) in items
        .iter()
        .filter(|item| **item != Value::Null)
        .enumerate()
    {
        if index > 0 {
            output.push(&separator)?;
        }
        output.push(super::text_of(item, arguments.work)?)?;
    }
    Ok(())
}

pub(super) fn split_list(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    pieces(arguments, |_, piece| piece).map(Value::Array)
}

/// A map `_0`, `_1`, …, as sprig makes it, because a template reaches a member more easily by a name.
pub(super) fn split(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    pieces(arguments, |index, piece| (format!("_{index}"), piece)).map(Value::Object)
}

fn pieces<T>(arguments: &Arguments<'_>, make: fn(usize, Value) -> T) -> Result<Vec<T>, Fault> {
    let (separator, text) = (arguments.text(0)?, arguments.text(1)?);
    let piece = |(index, piece): (usize, &str)| make(index, Value::String(piece.into()));
    let pieces: Vec<T> = if separator.is_empty() {
        // Go splits between characters then; Rust also before the first and after the last.
        text.split("")
            .filter(|piece| !piece.is_empty())
            .take(MAX_ITEMS + 1)
            .enumerate()
            .map(piece)
            .collect()
    } else {
        text.split(&*separator)
            .take(MAX_ITEMS + 1)
            .enumerate()
            .map(piece)
            .collect()
    };
    if pieces.len() > MAX_ITEMS {
        Err(Fault::TooLong)
    } else {
        Ok(pieces)
    }
}

pub(super) fn to_strings(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let text = |item| Ok(Value::String(super::text_of(item, arguments.work)?.into()));
    items(arguments, 0)?
        .iter()
        .filter(|item| **item != Value::Null)
        .map(text)
        .collect::<Result<_, _>>()
        .map(Value::Array)
}
