//! A server's own words, made fit for one line of a log: what we sent in confidence is taken out, control characters are
//! escaped, and the length is limited.

use crate::{Secret, Value};

/// The longest text that is repeated, in bytes.
const LONGEST: usize = 600;

/// A credential shorter than this is not searched for: it would take words apart and protect nothing.
const SHORTEST_CREDENTIAL: usize = 4;

/// The reasons and warnings of a reply.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    /// `errors`, joined
    pub(crate) errors: String,
    /// `warnings`, one each
    pub(crate) warnings: Vec<String>,
}

// === impl Reasons ===

impl Reasons {
    /// Takes them from a reply's body; `sent` are the credentials that may be repeated in it.
    pub(crate) fn of(body: &Value, sent: &[&Secret]) -> Self {
        let mut errors = texts(body.get("errors"), sent);
        if errors.is_empty() {
            errors = batch_errors(body, sent);
        }
        let warnings = texts(body.get("warnings"), sent);
        Self {
            errors: escaped(&errors.join(", ")),
            warnings: warnings.iter().map(|warning| escaped(warning)).collect(),
        }
    }
}

/// What was wrong with the parts of a request to the transit engine, each reason once.
fn batch_errors(body: &Value, sent: &[&Secret]) -> Vec<String> {
    let results = body.get("data").and_then(|data| data.get("batch_results"));
    let Some(Value::Array(results)) = results else {
        return Vec::new();
    };
    let errors = results.iter().filter_map(|result| result.get("error"));
    let mut errors: Vec<_> = errors.filter_map(|error| text(error, sent)).collect();
    errors.sort_unstable();
    errors.dedup();
    errors
}

fn texts(list: Option<&Value>, sent: &[&Secret]) -> Vec<String> {
    let Some(Value::Array(items)) = list else {
        return Vec::new();
    };
    items.iter().filter_map(|item| text(item, sent)).collect()
}

fn text(item: &Value, sent: &[&Secret]) -> Option<String> {
    let Value::String(text) = item else {
        return None;
    };
    let text = redacted(text.expose_str()?, sent);
    // Servers write several reasons as a list, often with one entry.
    let list = text.split("\n\t* ").map(str::trim);
    let reasons: Vec<_> = list.filter(|part| !part.ends_with(" occurred:")).collect();
    Some(reasons.join(", ")).filter(|text| !text.is_empty())
}

fn redacted(text: &str, sent: &[&Secret]) -> String {
    sent.iter()
        .filter_map(|secret| secret.expose_str())
        .filter(|secret| secret.len() >= SHORTEST_CREDENTIAL)
        .fold(text.to_owned(), |text, secret| {
            text.replace(secret, "[REDACTED]")
        })
}

/// `text` on one line and not too long.
pub(crate) fn escaped(text: &str) -> String {
    let mut line = String::new();
    for character in text.trim().chars() {
        if line.len() >= LONGEST {
            line.push('…');
            break;
        }
        if character.is_control() || is_direction_mark(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Characters that make a terminal show something else than what is there.
fn is_direction_mark(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_one_short_line_without_what_we_sent() {
        let token = Secret::from("hvs.canary");
        let body = Value::parse(
            br#"{"errors":["1 error occurred:\n\t* bad hvs.canary here","\u001b[31mred\u202e"],"warnings":["hvs.canary"]}"#,
        )
        .unwrap();
        let reasons = Reasons::of(&body, &[&token, &Secret::from("r")]);
        assert_eq!(
            reasons.errors,
            r"bad [REDACTED] here, \u{1b}[31mred\u{202e}"
        );
        assert_eq!(reasons.warnings, ["[REDACTED]"]);
    }

    #[test]
    fn lists_and_parts_of_a_batch_are_one_line() {
        for (body, expected) in [
            (
                r#"{"errors":["2 errors occurred:\n\t* denied\n\t* invalid token\n\n"]}"#,
                "denied, invalid token",
            ),
            (
                r#"{"errors":[],"data":{"batch_results":[{"error":"b"},{"plaintext":"x"},{"error":"a"},{"error":"b"}]}}"#,
                "a, b",
            ),
            (r#"{"errors":["a\nb"]}"#, r"a\nb"),
        ] {
            let reasons = Reasons::of(&Value::parse(body.as_bytes()).unwrap(), &[]);
            assert_eq!(reasons.errors, expected);
        }
    }

    #[test]
    fn length_is_limited() {
        assert!(escaped(&"x".repeat(10_000)).len() < LONGEST + 10);
    }

    #[test]
    fn odd_bodies_give_no_reasons() {
        for body in ["null", "[]", r#"{"errors":"x"}"#, r#"{"errors":[1,null]}"#] {
            let reasons = Reasons::of(&Value::parse(body.as_bytes()).unwrap(), &[]);
            assert!(
                reasons.errors.is_empty() && reasons.warnings.is_empty(),
                "{body}"
            );
        }
    }
}
