//! An action's text as tokens.

use super::TemplateError;

/// A token of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `.a` of a chain; `.` alone when empty
    Field(String),
    /// A function, or `true`, `false`, `nil`
    Word(String),
    /// Digits, as written
    Number(String),
    /// A string, unescaped
    Text(String),
    Pipe,
    Open,
    Close,
    Blank,
}

pub(super) fn tokens(action: &str) -> Result<Vec<Token>, TemplateError> {
    let mut rest = action;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            ' ' | '\t' => (
                Token::Blank,
                rest.len() - rest.trim_start_matches([' ', '\t']).len(),
            ),
            '|' => (Token::Pipe, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '.' => {
                let name = word(&rest[1..]);
                (Token::Field(name.to_owned()), 1 + name.len())
            }
            '"' => quoted(rest)?,
            '`' => raw(rest)?,
            '0'..='9' | '-' | '+' => number(rest)?,
            '$' => return Err(TemplateError::Syntax("variables are not offered; use .key")),
            _ if !word(rest).is_empty() => (Token::Word(word(rest).to_owned()), word(rest).len()),
            _ => {
                return Err(TemplateError::Syntax(
                    "a character that means nothing here; quote text as \"…\"",
                ));
            }
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    Ok(tokens)
}

fn word(text: &str) -> &str {
    let end = text
        .find(|character: char| !character.is_alphanumeric() && character != '_')
        .unwrap_or(text.len());
    &text[..end]
}

/// Whole numbers: what counts, lengths and positions in a template are.
fn number(text: &str) -> Result<(Token, usize), TemplateError> {
    let end = text[1..].find(|character: char| !character.is_ascii_digit() && character != '.');
    let digits = &text[..end.map_or(text.len(), |end| end + 1)];
    match digits.parse::<i64>() {
        Ok(number) => Ok((Token::Number(number.to_string()), digits.len())),
        Err(_not_whole) => Err(TemplateError::Syntax(
            "a number that cannot be read; write a whole number",
        )),
    }
}

fn raw(text: &str) -> Result<(Token, usize), TemplateError> {
    match text[1..].split_once('`') {
        Some((inside, _)) => Ok((Token::Text(inside.to_owned()), inside.len() + 2)),
        None => Err(TemplateError::Syntax(
            "a text that is never closed; add a back quote",
        )),
    }
}

/// A string in double quotes, with the escapes of Go that text in a manifest can need.
fn quoted(text: &str) -> Result<(Token, usize), TemplateError> {
    let mut unescaped = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Ok((Token::Text(unescaped), index + 1)),
            '\\' => unescaped.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, 'r')) => '\r',
                Some((_, same @ ('"' | '\\' | '\''))) => same,
                _ => {
                    return Err(TemplateError::Syntax(
                        "an escape other than \\n, \\t, \\r, \\\" and \\\\ in a text",
                    ));
                }
            }),
            other => unescaped.push(other),
        }
    }
    Err(TemplateError::Syntax(
        "a text that is never closed; add a double quote",
    ))
}
