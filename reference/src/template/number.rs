//! Numbers by their digits: secrets hold numbers that no machine type can (2^53 + 1 as a float, 1e400).

use std::cmp::Ordering;

/// Compares two numbers as JSON spells them, exactly.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Decimal::of(a), Decimal::of(b));
    a.sign.cmp(&b.sign).then_with(|| {
        let by_size = a
            .magnitude
            .cmp(&b.magnitude)
            .then_with(|| a.digits.cmp(&b.digits));
        if a.sign < 0 {
            by_size.reverse()
        } else {
            by_size
        }
    })
}

/// A whole number that fits 64 bits; digits after the point are cut, as `int` of sprig does with a float.
pub(super) fn integer(number: &str) -> Option<i64> {
    let whole = number.split_once('.').map_or(number, |(whole, _)| whole);
    whole.parse().ok().filter(|_| !number.contains(['e', 'E']))
}

/// The digits of a whole number of any size, without a `+`.
pub(super) fn exact(number: &str) -> Option<&str> {
    let number = number.strip_prefix('+').unwrap_or(number);
    let digits = number.strip_prefix('-').unwrap_or(number);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

/// `sign × 0.digits × 10^magnitude`, without zeros at either end of the digits.
struct Decimal {
    sign: i8,
    magnitude: i64,
    digits: String,
}

// === impl Decimal ===

impl Decimal {
    fn of(number: &str) -> Self {
        let (sign, number) = number
            .strip_prefix('-')
            .map_or((1, number), |positive| (-1, positive));
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_start_matches('0');
        if digits.is_empty() {
            return Self {
                sign: 0,
                magnitude: 0,
                digits: String::new(),
            };
        }
        let point = whole.len() as i64 - (all.len() - digits.len()) as i64;
        Self {
            sign,
            magnitude: saturating(exponent).saturating_add(point),
            digits: digits.trim_end_matches('0').to_owned(),
        }
    }
}

/// An exponent, which has no limit in JSON.
fn saturating(exponent: &str) -> i64 {
    let limit = if exponent.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    exponent.parse().unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_compare_by_size() {
        let ascending = [
            "-1e400",
            "-10",
            "-9.5",
            "-1",
            "-0.5",
            "-1e-400",
            "0",
            "1e-400",
            "0.05",
            "0.5",
            "1",
            "1.05",
            "1.5",
            "9",
            "10",
            "99e0",
            "9007199254740992",
            "9007199254740993",
            "1e400",
            "1e99999999999999999999",
        ];
        for (index, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), index.cmp(&other), "{a} {b}");
            }
        }
        for (a, b) in [
            ("0", "-0.000e5"),
            ("1", "1.0"),
            ("100", "1e2"),
            ("0.01", "1E-2"),
            ("12.5", "125e-1"),
            ("10", "1e+1"),
        ] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    #[test]
    fn whole_numbers() {
        for (number, expected) in [
            ("5", Some(5)),
            ("-5", Some(-5)),
            ("5.9", Some(5)),
            ("-5.9", Some(-5)),
            ("1e2", None),
            ("9223372036854775808", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(integer(number), expected, "{number}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_machine_integers(a in any::<i64>(), b in any::<i64>()) {
            prop_assert_eq!(compare(&a.to_string(), &b.to_string()), a.cmp(&b));
        }
    }
}
