//! Functions that put texts together: `print`, `printf`, quotes.

use std::iter::Peekable;
use std::str::Chars;

use envlatch_secret::Value;

use super::{Arguments, Fault, TextOf, text_of};
use crate::template::output::Output;

/// Like Go, a blank only between two that are no text; numbers count as text, since peers hold a secret's as such.
pub(super) fn print(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let mut before_is_text = true;
    for value in arguments.iter() {
        let is_text = matches!(value, Value::String(_) | Value::Number(_));
        if !(before_is_text || is_text) {
            output.push(" ")?;
        }
        output.push(text_of(value, arguments.work)?)?;
        before_is_text = is_text;
    }
    Ok(())
}

pub(super) fn println(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let texts = arguments.iter().map(|value| text_of(value, arguments.work));
    spaced(texts, output, |text, output| output.push(text))?;
    output.push("\n")
}

pub(super) fn cat(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    spaced(arguments.texts(), output, |text, output| output.push(text))
}

pub(super) fn quote(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    spaced(arguments.texts(), output, go_quoted)
}

pub(super) fn squote(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    spaced(arguments.texts(), output, |text, output| {
        ["'", text, "'"]
            .iter()
            .try_for_each(|part| output.push(part))
    })
}

/// Writes each text with a blank before all but the first.
fn spaced<'a>(
    texts: impl Iterator<Item = Result<TextOf<'a>, Fault>>,
    output: &mut Output,
    write: fn(&str, &mut Output) -> Result<(), Fault>,
) -> Result<(), Fault> {
    for (index, text) in texts.enumerate() {
        if index > 0 {
            output.push(" ")?;
        }
        write(&text?, output)?;
    }
    Ok(())
}

/// In double quotes with the escapes of Go's `strconv.Quote`.
fn go_quoted(text: &str, output: &mut Output) -> Result<(), Fault> {
    output.push("\"")?;
    for character in text.chars() {
        match character {
            '"' => output.push("\\\""),
            '\\' => output.push("\\\\"),
            '\x07' => output.push("\\a"),
            '\x08' => output.push("\\b"),
            '\x0c' => output.push("\\f"),
            '\n' => output.push("\\n"),
            '\r' => output.push("\\r"),
            '\t' => output.push("\\t"),
            '\x0b' => output.push("\\v"),
            '\0'..='\x1f' | '\x7f' => output.push(format!("\\x{:02x}", u32::from(character))),
            _ if character.is_control() => output.push(format!("\\u{:04x}", u32::from(character))),
            _ => output.push_char(character),
        }?;
    }
    output.push("\"")
}

/// One `%…` of a format.
#[derive(Default)]
struct Verb {
    left: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
}

pub(super) fn printf(arguments: &Arguments<'_>, output: &mut Output) -> Result<(), Fault> {
    let format = arguments.text(0)?;
    let mut values = arguments.iter().skip(1);
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            output.push_char(character)?;
        } else if characters.next_if_eq(&'%').is_some() {
            output.push("%")?;
        } else {
            let verb = Verb::read(&mut characters)?;
            let letter = characters.next();
            let value = values
                .next()
                .ok_or(Fault::Cause("has fewer values than verbs"))?;
            verb.write(letter, value, arguments, output)?;
        }
    }
    values
        .next()
        .map_or(Ok(()), |_| Err(Fault::Cause("has more values than verbs")))
}

// === impl Verb ===

impl Verb {
    fn read(characters: &mut Peekable<Chars<'_>>) -> Result<Self, Fault> {
        let mut verb = Self::default();
        while let Some(flag) = characters.next_if(|character| matches!(character, '-' | '0')) {
            verb.left |= flag == '-';
            verb.zeros |= flag == '0';
        }
        verb.width = digits(characters)?.unwrap_or(0);
        if characters.next_if_eq(&'.').is_some() {
            verb.precision = Some(digits(characters)?.unwrap_or(0));
        }
        Ok(verb)
    }

    fn write(
        &self,
        letter: Option<char>,
        value: &Value,
        arguments: &Arguments<'_>,
        output: &mut Output,
    ) -> Result<(), Fault> {
        let text = text_of(value, arguments.work)?;
        match (letter, value) {
            (Some('s' | 'v'), _) => self.pad(&text, output),
            (Some('q'), _) => {
                let mut quoted = Output::default();
                go_quoted(self.cut(&text), &mut quoted)?;
                self.pad_all(quoted.as_str(), output)
            }
            (Some('d'), Value::Number(_) | Value::String(_)) => {
                let number = crate::template::number::exact(&text)
                    .ok_or(Fault::Cause("needs a whole number for %d"))?;
                self.pad_number(number, output)
            }
            (Some('t'), Value::Bool(_)) => self.pad_all(&text, output),
            (Some('d' | 't'), _) => Err(Fault::Cause("has a value of another type than its verb")),
            _ => Err(Fault::Cause(
                "knows the verbs %s, %v, %d, %q, %t and %% only",
            )),
        }
    }

    fn cut<'t>(&self, text: &'t str) -> &'t str {
        let end = self
            .precision
            .and_then(|precision| text.char_indices().nth(precision));
        end.map_or(text, |(end, _)| &text[..end])
    }

    fn pad(&self, text: &str, output: &mut Output) -> Result<(), Fault> {
        self.pad_all(self.cut(text), output)
    }

    fn pad_all(&self, text: &str, output: &mut Output) -> Result<(), Fault> {
        let blanks = self.width.saturating_sub(text.chars().count());
        output.push_times(" ", if self.left { 0 } else { blanks })?;
        output.push(text)?;
        output.push_times(" ", if self.left { blanks } else { 0 })
    }

    fn pad_number(&self, number: &str, output: &mut Output) -> Result<(), Fault> {
        if !self.zeros || self.left {
            return self.pad_all(number, output);
        }
        let (sign, digits) = number.split_at(usize::from(number.starts_with('-')));
        output.push(sign)?;
        output.push_times("0", self.width.saturating_sub(number.len()))?;
        output.push(digits)
    }
}

fn digits(characters: &mut Peekable<Chars<'_>>) -> Result<Option<usize>, Fault> {
    let mut number: Option<usize> = None;
    while let Some(digit) = characters
        .peek()
        .and_then(|character| character.to_digit(10))
    {
        characters.next();
        let so_far = number
            .unwrap_or(0)
            .checked_mul(10)
            .and_then(|number| number.checked_add(digit as usize));
        number = Some(so_far.ok_or(Fault::TooLong)?);
    }
    Ok(number)
}
