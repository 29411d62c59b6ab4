//! The texts of single settings, strictly: what could be meant in two ways is refused.

use std::time::Duration;

use crate::Secret;

/// Why [`printable`] refuses a text.
pub(crate) const UNPRINTABLE: &str =
    "empty or with a space, line break, NUL or other unprintable character inside";

/// What Go's `strconv.ParseBool` accepts, as the official clients do.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A duration such as `30s`, `1m30s`, `1.5h` or `500ms`; a bare whole number is seconds. `None` for anything else.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let amount: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(amount * seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// A credential as it may stand in a header: what surrounds it is trimmed; `None` when nothing is left or when anything but
/// printable ASCII is inside.
pub(crate) fn printable(text: &[u8]) -> Option<Secret> {
    let trimmed = text.trim_ascii();
    (!trimmed.is_empty() && trimmed.iter().all(u8::is_ascii_graphic))
        .then(|| Secret::new(trimmed.to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_duration_is_the_sum_of_its_parts(hours in 0_u64..1000, minutes in 0_u64..1000, milliseconds in 0_u64..100_000) {
            let expected = Duration::from_secs(hours * 3600 + minutes * 60) + Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&format!("{hours}h{minutes}m{milliseconds}ms")), Some(expected));
        }

        #[test]
        fn no_text_is_too_odd(text in "[0-9.hmsnuµ -]{0,12}|.*") {
            let _ = duration(&text);
            let _ = printable(text.as_bytes());
        }
    }

    #[test]
    fn booleans_are_strict() {
        for (text, expected) in [
            ("1", Some(true)),
            ("True", Some(true)),
            ("t", Some(true)),
            ("0", Some(false)),
            ("FALSE", Some(false)),
            ("yes", None),
            ("off", None),
            ("tRUE", None),
            (" true", None),
            ("", None),
        ] {
            assert_eq!(boolean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, milliseconds) in [
            ("30s", Some(30_000)),
            ("10", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1.5h", Some(5_400_000)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("30 s", None),
            ("-1s", None),
            ("1.2.3s", None),
            ("30sec", None),
            ("1d", None),
            ("99999999999999999999", None),
            ("9999999999999999999999h", None),
        ] {
            assert_eq!(
                duration(text),
                milliseconds.map(Duration::from_millis),
                "{text:?}"
            );
        }
    }

    #[test]
    fn credentials_are_trimmed_and_checked() {
        for (text, expected) in [
            ("s.abc", Some("s.abc")),
            (" s.abc\r\n", Some("s.abc")),
            ("", None),
            ("\n", None),
            ("a b", None),
            ("a\0b", None),
            ("a\nb", None),
            ("é", None),
        ] {
            assert_eq!(
                printable(text.as_bytes()),
                expected.map(Secret::from),
                "{text:?}"
            );
        }
    }
}
