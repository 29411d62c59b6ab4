//! Functions on text. Positions and lengths count characters, where sprig counts bytes and can cut one in half.

use envlatch_secret::Value;

use super::{Bounded, Fault, integer, string, text};

fn texts(arguments: &[Value]) -> Result<Vec<String>, Fault> {
    arguments.iter().map(text).collect()
}

/// The arguments as exactly `N` texts; the table of functions has already counted them.
fn exactly<const N: usize>(arguments: &[Value]) -> Result<[String; N], Fault> {
    texts(arguments)?
        .try_into()
        .map_err(|_count| Fault::Cause("has too few or too many arguments"))
}

fn change(arguments: &[Value], how: impl FnOnce(&str) -> String) -> Result<Value, Fault> {
    let [given] = exactly(arguments)?;
    Bounded::of([how(&given)])
}

pub(super) fn print(arguments: &[Value]) -> Result<Value, Fault> {
    Bounded::of(texts(arguments)?)
}

pub(super) fn cat(arguments: &[Value]) -> Result<Value, Fault> {
    join_texts(" ", &texts(arguments)?)
}

pub(super) fn println(arguments: &[Value]) -> Result<Value, Fault> {
    let mut line = text(&cat(arguments)?)?;
    line.push('\n');
    Bounded::of([line])
}

/// `%s` and `%v` any value, `%d` a number, `%q` a text in quotes, `%%` a percent sign.
pub(super) fn printf(arguments: &[Value]) -> Result<Value, Fault> {
    let Some((format, values)) = arguments.split_first() else {
        return Ok(string(String::new()));
    };
    let format = text(format)?;
    let mut values = values.iter();
    let mut output = Bounded::default();
    let mut pieces = format.split('%');
    output.push(pieces.next().unwrap_or_default())?;
    let mut literal = false;
    for piece in pieces {
        let verb = piece.chars().next();
        if literal {
            literal = false;
            output.push(piece)?;
            continue;
        }
        if piece.is_empty() {
            output.push("%")?;
            literal = true;
            continue;
        }
        let value = values
            .next()
            .ok_or(Fault::Cause("has fewer values than verbs"))?;
        output.push(&match verb {
            Some('s' | 'v') => text(value)?,
            Some('d') => integer(value)?.to_string(),
            Some('q') => go_quoted(&text(value)?),
            _ => return Err(Fault::Cause("knows the verbs %s, %v, %d, %q and %% only")),
        })?;
        output.push(&piece[1..])?;
    }
    if values.next().is_some() {
        Err(Fault::Cause("has more values than verbs"))
    } else {
        Ok(string(output.0))
    }
}

fn go_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

pub(super) fn to_string(arguments: &[Value]) -> Result<Value, Fault> {
    change(arguments, str::to_owned)
}

pub(super) fn trim(arguments: &[Value]) -> Result<Value, Fault> {
    change(arguments, |text| text.trim().to_owned())
}

pub(super) fn trim_all(arguments: &[Value]) -> Result<Value, Fault> {
    let [cut, given] = exactly(arguments)?;
    Ok(string(
        given
            .trim_matches(|character| cut.contains(character))
            .to_owned(),
    ))
}

pub(super) fn trim_prefix(arguments: &[Value]) -> Result<Value, Fault> {
    let [prefix, given] = exactly(arguments)?;
    Ok(string(
        given.strip_prefix(&prefix).unwrap_or(&given).to_owned(),
    ))
}

pub(super) fn trim_suffix(arguments: &[Value]) -> Result<Value, Fault> {
    let [suffix, given] = exactly(arguments)?;
    Ok(string(
        given.strip_suffix(&suffix).unwrap_or(&given).to_owned(),
    ))
}

pub(super) fn upper(arguments: &[Value]) -> Result<Value, Fault> {
    change(arguments, str::to_uppercase)
}

pub(super) fn lower(arguments: &[Value]) -> Result<Value, Fault> {
    change(arguments, str::to_lowercase)
}

pub(super) fn title(arguments: &[Value]) -> Result<Value, Fault> {
    change(arguments, |text| {
        at_word_starts(text, |character| character.to_uppercase().collect())
    })
}

pub(super) fn untitle(arguments: &[Value]) -> Result<Value, Fault> {
    change(arguments, |text| {
        at_word_starts(text, |character| character.to_lowercase().collect())
    })
}

fn at_word_starts(text: &str, change: fn(char) -> String) -> String {
    let mut changed = String::with_capacity(text.len());
    let mut starts = true;
    for character in text.chars() {
        if starts {
            changed.push_str(&change(character));
        } else {
            changed.push(character);
        }
        starts = character.is_whitespace();
    }
    changed
}

pub(super) fn swapcase(arguments: &[Value]) -> Result<Value, Fault> {
    change(arguments, |text| {
        let swap = |character: char| -> String {
            if character.is_uppercase() {
                character.to_lowercase().collect()
            } else {
                character.to_uppercase().collect()
            }
        };
        text.chars().map(swap).collect()
    })
}

pub(super) fn nospace(arguments: &[Value]) -> Result<Value, Fault> {
    change(arguments, |text| text.split_whitespace().collect())
}

pub(super) fn initials(arguments: &[Value]) -> Result<Value, Fault> {
    change(arguments, |text| {
        text.split_whitespace()
            .filter_map(|word| word.chars().next())
            .collect()
    })
}

pub(super) fn repeat(arguments: &[Value]) -> Result<Value, Fault> {
    let [_, given] = exactly(arguments)?;
    let times = usize::try_from(integer(&arguments[0])?)
        .map_err(|_negative| Fault::Cause("needs a number from 0"))?;
    if given.is_empty() {
        Ok(string(given))
    } else {
        Bounded::of(std::iter::repeat_n(given, times))
    }
}

pub(super) fn substr(arguments: &[Value]) -> Result<Value, Fault> {
    let [_, _, given] = exactly(arguments)?;
    let start = usize::try_from(integer(&arguments[0])?).unwrap_or(0);
    let end = usize::try_from(integer(&arguments[1])?).unwrap_or(usize::MAX);
    Ok(string(given.chars().take(end).skip(start).collect()))
}

pub(super) fn trunc(arguments: &[Value]) -> Result<Value, Fault> {
    let [_, given] = exactly(arguments)?;
    let length = integer(&arguments[0])?;
    let kept = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
    let skipped = if length < 0 {
        given.chars().count().saturating_sub(kept)
    } else {
        0
    };
    Ok(string(given.chars().skip(skipped).take(kept).collect()))
}

pub(super) fn abbrev(arguments: &[Value]) -> Result<Value, Fault> {
    let [_, given] = exactly(arguments)?;
    let width = usize::try_from(integer(&arguments[0])?).unwrap_or(0);
    if width < 4 || given.chars().count() <= width {
        return Ok(string(given));
    }
    Ok(string(
        given.chars().take(width - 3).chain("...".chars()).collect(),
    ))
}

pub(super) fn contains(arguments: &[Value]) -> Result<Value, Fault> {
    let [part, given] = exactly(arguments)?;
    Ok(Value::Bool(given.contains(&part)))
}

pub(super) fn has_prefix(arguments: &[Value]) -> Result<Value, Fault> {
    let [prefix, given] = exactly(arguments)?;
    Ok(Value::Bool(given.starts_with(&prefix)))
}

pub(super) fn has_suffix(arguments: &[Value]) -> Result<Value, Fault> {
    let [suffix, given] = exactly(arguments)?;
    Ok(Value::Bool(given.ends_with(&suffix)))
}

pub(super) fn replace(arguments: &[Value]) -> Result<Value, Fault> {
    let [old, new, given] = exactly(arguments)?;
    join_texts(&new, &given.split(&old).collect::<Vec<_>>())
}

pub(super) fn quote(arguments: &[Value]) -> Result<Value, Fault> {
    let quoted: Vec<_> = texts(arguments)?
        .iter()
        .map(|text| go_quoted(text))
        .collect();
    join_texts(" ", &quoted)
}

pub(super) fn squote(arguments: &[Value]) -> Result<Value, Fault> {
    let quoted: Vec<_> = texts(arguments)?
        .iter()
        .map(|text| format!("'{text}'"))
        .collect();
    join_texts(" ", &quoted)
}

pub(super) fn indent(arguments: &[Value]) -> Result<Value, Fault> {
    let [_, given] = exactly(arguments)?;
    let width = usize::try_from(integer(&arguments[0])?)
        .map_err(|_negative| Fault::Cause("needs a number from 0"))?;
    if width > super::MAX_OUTPUT {
        return Err(Fault::TooLong);
    }
    let blanks = " ".repeat(width);
    let mut indented = Bounded::default();
    indented.push(&blanks)?;
    indented.push(&text(&join_texts(
        &format!("\n{blanks}"),
        &given.split('\n').collect::<Vec<_>>(),
    )?)?)?;
    Ok(string(indented.0))
}

pub(super) fn nindent(arguments: &[Value]) -> Result<Value, Fault> {
    Bounded::of(["\n".to_owned(), text(&indent(arguments)?)?])
}

pub(super) fn join(arguments: &[Value]) -> Result<Value, Fault> {
    match arguments {
        [separator, Value::Array(items)] => join_texts(&text(separator)?, &texts(items)?),
        [_, single] => Bounded::of([text(single)?]),
        _ => Err(Fault::Cause("needs a separator and a list")),
    }
}

fn join_texts(separator: &str, pieces: &[impl AsRef<str>]) -> Result<Value, Fault> {
    let mut joined = Bounded::default();
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            joined.push(separator)?;
        }
        joined.push(piece.as_ref())?;
    }
    Ok(string(joined.0))
}

pub(super) fn split_list(arguments: &[Value]) -> Result<Value, Fault> {
    let [separator, given] = exactly(arguments)?;
    Ok(Value::Array(
        given
            .split(&separator)
            .map(|piece| string(piece.to_owned()))
            .collect(),
    ))
}

/// A map `_0`, `_1`, …, as sprig makes it, because templates reach members by name only.
pub(super) fn split(arguments: &[Value]) -> Result<Value, Fault> {
    let Value::Array(pieces) = split_list(arguments)? else {
        return Err(Fault::Cause("needs text"));
    };
    Ok(Value::Object(
        pieces
            .into_iter()
            .enumerate()
            .map(|(index, piece)| (format!("_{index}"), piece))
            .collect(),
    ))
}
