//! An action's text as tokens.

use envlatch_secret::{Secret, Value};

use super::{BLANK, SyntaxError};

/// A token of an action.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `.a` of a chain; `.` alone when empty
    Field(String),
    /// A function, or `true`, `false`, `nil`
    Word(String),
    /// A text or a number
    Literal(Value),
    Pipe,
    Open,
    Close,
    Blank,
}

/// A token, and where in the action it starts.
pub(super) type Placed = (usize, Token);

/// What is wrong, and where in the action.
pub(super) type Fault = (usize, SyntaxError);

pub(super) fn tokens(action: &str) -> Result<Vec<Placed>, Fault> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = action[start..].chars().next() {
        let rest = &action[start..];
        let fault = |text| (start, SyntaxError::Malformed(text));
        let (token, length) = match first {
            _ if BLANK.contains(&first) => (
                Token::Blank,
                rest.len() - rest.trim_start_matches(BLANK).len(),
            ),
            '|' => (Token::Pipe, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '.' => {
                let name = word(&rest[1..]);
                (Token::Field(name.to_owned()), 1 + name.len())
            }
            '-' if matches!(tokens.last(), Some((_, Token::Field(_)))) => {
                return Err(fault(
                    "a key with `-` after a dot; write index . \"with-dash\"",
                ));
            }
            '"' => quoted(rest).map_err(fault)?,
            '`' => raw(rest).map_err(fault)?,
            '0'..='9' | '-' | '+' => number(rest).map_err(fault)?,
            '$' => return Err(fault("a variable, which is not offered; write .key")),
            _ if !word(rest).is_empty() => (Token::Word(word(rest).to_owned()), word(rest).len()),
            _ => {
                return Err(fault(
                    "a character that means nothing here; write text as \"…\"",
                ));
            }
        };
        tokens.push((start, token));
        start += length;
    }
    Ok(tokens)
}

fn word(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    &text[..end.unwrap_or(text.len())]
}

/// A number as JSON spells it, so that it has one spelling wherever it goes.
fn number(text: &str) -> Result<(Token, usize), &'static str> {
    let part = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | '+')
    };
    let digits = &text[..text
        .find(|character| !part(character))
        .unwrap_or(text.len())];
    match Value::parse(digits.strip_prefix('+').unwrap_or(digits).as_bytes()) {
        Ok(number @ Value::Number(_)) => Ok((Token::Literal(number), digits.len())),
        _ => Err("a number that cannot be read; write it as 12 or 1.5"),
    }
}

fn raw(text: &str) -> Result<(Token, usize), &'static str> {
    let (inside, _) = text[1..]
        .split_once('`')
        .ok_or("a text that is never closed; add a back quote")?;
    Ok((
        Token::Literal(Value::String(inside.into())),
        inside.len() + 2,
    ))
}

/// A text in double quotes, with Go's escapes.
fn quoted(text: &str) -> Result<(Token, usize), &'static str> {
    let mut unescaped = Vec::new();
    let mut position = 1;
    while let Some(character) = text[position..].chars().next() {
        let rest = &text[position..];
        let length = match character {
            '"' => {
                return Ok((
                    Token::Literal(Value::String(Secret::new(unescaped))),
                    position + 1,
                ));
            }
            '\n' => return Err("a text in double quotes with a line break in it; write \\n"),
            '\\' => escape(&rest[1..], &mut unescaped)
                .ok_or("an escape that Go does not know; write \\\\ for `\\`")?,
            _ => {
                unescaped.extend_from_slice(&rest.as_bytes()[..character.len_utf8()]);
                character.len_utf8()
            }
        };
        position += length;
    }
    Err("a text that is never closed; add a double quote")
}

/// Writes what the escape after a `\` stands for, and gives its length with the `\`.
fn escape(text: &str, unescaped: &mut Vec<u8>) -> Option<usize> {
    let (digits, radix) = match text.as_bytes().first()? {
        b'x' => (text.get(1..3)?, 16),
        b'u' => (text.get(1..5)?, 16),
        b'U' => (text.get(1..9)?, 16),
        b'0'..=b'7' => (text.get(..3)?, 8),
        letter => {
            unescaped.push(match letter {
                b'a' => 7,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                b'\\' | b'"' => *letter,
                _ => return None,
            });
            return Some(2);
        }
    };
    let code = digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, radix).ok())??;
    if text.starts_with(['u', 'U']) {
        unescaped.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        unescaped.push(u8::try_from(code).ok()?);
    }
    Some(1 + digits.len() + usize::from(radix == 16))
}
