//! Functions that change or look at one text. Positions and lengths count characters, where Go counts bytes and can cut one
//! in half. Case is changed of ASCII letters only: the tables for all others are larger than all of these functions.

use envlatch_secret::Value;

use super::{Arguments, Fault};
use crate::template::output::Output;

pub(super) fn to_string(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    output.push(arguments.text(0)?)
}

pub(super) fn trim(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    output.push(arguments.text(0)?.trim())
}

/// Each character of the text may have to be looked for among all that are cut, so these have to be few.
pub(super) fn trim_all(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let cut = arguments.text(0)?;
    if cut.len() > 256 {
        return Err(Fault::Cause("needs at most 256 bytes of characters to cut"));
    }
    output.push(
        arguments
            .text(1)?
            .trim_matches(|character| cut.contains(character)),
    )
}

pub(super) fn trim_prefix(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let text = arguments.text(1)?;
    output.push(text.strip_prefix(&*arguments.text(0)?).unwrap_or(&text))
}

pub(super) fn trim_suffix(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let text = arguments.text(1)?;
    output.push(text.strip_suffix(&*arguments.text(0)?).unwrap_or(&text))
}

pub(super) fn upper(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    each(arguments, output, |character| {
        character.to_ascii_uppercase()
    })
}

pub(super) fn lower(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    each(arguments, output, |character| {
        character.to_ascii_lowercase()
    })
}

pub(super) fn swapcase(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    each(arguments, output, |character| match character {
        'A'..='Z' => character.to_ascii_lowercase(),
        other => other.to_ascii_uppercase(),
    })
}

fn each(
    arguments: &Arguments<'_>,
    output: &mut Output,
    change: fn(char) -> char,
) -> Result<(), Fault> {
    output.push_chars(arguments.text(0)?.chars().map(change))
}

/// Go's idea of where words begin: after anything but letters, digits and `_`.
pub(super) fn title(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let mut starts = true;
    arguments.text(0)?.chars().try_for_each(|character| {
        let first = std::mem::replace(&mut starts, character.is_ascii() && !is_word(character));
        output.push_char(if first {
            character.to_ascii_uppercase()
        } else {
            character
        })
    })
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// sprig's idea of where words begin: after white space.
pub(super) fn untitle(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let mut starts = true;
    arguments.text(0)?.chars().try_for_each(|character| {
        let first = std::mem::replace(&mut starts, character.is_whitespace());
        output.push_char(if first {
            character.to_ascii_lowercase()
        } else {
            character
        })
    })
}

pub(super) fn snakecase(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    joined_by('_', &arguments.text(0)?, output)
}

pub(super) fn kebabcase(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    joined_by('-', &arguments.text(0)?, output)
}

fn joined_by(connector: char, text: &str, output: &mut Output) -> Result<(), Fault> {
    for (index, word) in words(text).enumerate() {
        if index > 0 {
            output.push_char(connector)?;
        }
        output.push_chars(word.chars().map(|character| character.to_ascii_lowercase()))?;
    }
    Ok(())
}

pub(super) fn camelcase(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    words(&arguments.text(0)?).try_for_each(|word| {
        let mut characters = word.chars();
        output.push_chars(
            characters
                .next()
                .into_iter()
                .map(|first| first.to_ascii_uppercase()),
        )?;
        output.push_chars(characters.map(|character| character.to_ascii_lowercase()))
    })
}

/// Words end at white space, `-` and `_`, before a capital after a small letter or digit (`httpServer`), and before the last
/// of several capitals when a small letter follows it (`HTTPServer`).
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| character.is_whitespace() || matches!(character, '-' | '_'))
        .flat_map(|run| {
            let mut rest = run;
            std::iter::from_fn(move || {
                let (word, after) = rest.split_at(first_word(rest));
                rest = after;
                Some(word).filter(|word| !word.is_empty())
            })
        })
}

/// The length of the first word of a run without separators.
fn first_word(run: &str) -> usize {
    let mut characters = run.char_indices().peekable();
    let mut before = None;
    while let Some((index, character)) = characters.next() {
        let small_follows = characters
            .peek()
            .is_some_and(|(_, next)| next.is_ascii_lowercase());
        let begins = |before: char| !before.is_ascii_uppercase() || small_follows;
        if character.is_ascii_uppercase() && before.is_some_and(begins) {
            return index;
        }
        before = Some(character);
    }
    run.len()
}

pub(super) fn nospace(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    arguments
        .text(0)?
        .split_whitespace()
        .try_for_each(|word| output.push(word))
}

pub(super) fn initials(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    output.push_chars(
        arguments
            .text(0)?
            .split_whitespace()
            .filter_map(|word| word.chars().next()),
    )
}

pub(super) fn repeat(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    output.push_times(arguments.text(1)?, arguments.size(0)?)
}

pub(super) fn substr(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let start = usize::try_from(arguments.integer(0)?).unwrap_or(0);
    let end = usize::try_from(arguments.integer(1)?).unwrap_or(usize::MAX);
    output.push_chars(arguments.text(2)?.chars().take(end).skip(start))
}

pub(super) fn trunc(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let (length, text) = (arguments.integer(0)?, arguments.text(1)?);
    let kept = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
    let skipped = if length < 0 {
        text.chars().count().saturating_sub(kept)
    } else {
        0
    };
    output.push_chars(text.chars().skip(skipped).take(kept))
}

/// Widths below 4 leave no room for anything but the dots, so sprig cuts nothing then.
pub(super) fn abbrev(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let (width, text) = (arguments.size(0)?, arguments.text(1)?);
    if width < 4 || text.chars().count() <= width {
        return output.push(text);
    }
    output.push_chars(text.chars().take(width - 3))?;
    output.push("...")
}

pub(super) fn contains(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok(Value::Bool(
        arguments.text(1)?.contains(&*arguments.text(0)?),
    ))
}

pub(super) fn has_prefix(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok(Value::Bool(
        arguments.text(1)?.starts_with(&*arguments.text(0)?),
    ))
}

pub(super) fn has_suffix(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok(Value::Bool(
        arguments.text(1)?.ends_with(&*arguments.text(0)?),
    ))
}

pub(super) fn replace(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    joined(
        &arguments.text(1)?,
        arguments.text(2)?.split(&*arguments.text(0)?),
        output,
    )
}

pub(super) fn indent(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let width = arguments.size(0)?;
    for (index, line) in arguments.text(1)?.split('\n').enumerate() {
        if index > 0 {
            output.push("\n")?;
        }
        output.push_times(" ", width)?;
        output.push(line)?;
    }
    Ok(())
}

pub(super) fn nindent(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    output.push("\n")?;
    indent(arguments, output)
}

pub(super) fn int(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    Ok(Value::Number(arguments.integer(0)?.to_string().into()))
}

fn joined<'p>(
    separator: &str,
    pieces: impl Iterator<Item = &'p str>,
    output: &mut Output,
) -> Result<(), Fault> {
    for (index, piece) in pieces.enumerate() {
        if index > 0 {
            output.push(separator)?;
        }
        output.push(piece)?;
    }
    Ok(())
}
