//! "Did you mean": the nearest of the names that exist.

use envlatch_secret::Value;

/// Longer names are compared with nothing: nobody mistypes them, and the comparison takes time and memory by the product of
/// both lengths, one of which a server decides.
const LONGEST: usize = 64;

/// The candidate nearest to `name`, if one is near enough to be a slip of the fingers. Case, and which of `-`, `_` and `.`
/// separates words, count as no difference. One with a control character is never shown: a server decides what is in it.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let plain = plain(name);
    let tolerated = (plain.len() / 3).min(3);
    candidates
        .into_iter()
        .filter(|candidate| {
            candidate.len() <= LONGEST && candidate.len().abs_diff(name.len()) <= tolerated
        })
        .filter(|candidate| !candidate.contains(char::is_control))
        .map(|candidate| {
            (
                strsim::osa_distance(&plain, &self::plain(candidate)),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The key of the object `map` that is nearest to `name`.
pub(crate) fn nearest_key(name: &str, map: &Value) -> Option<String> {
    match map {
        Value::Object(members) => {
            nearest(name, members.iter().map(|(key, _)| key.as_str())).map(str::to_owned)
        }
        _ => None,
    }
}

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_names_are_not() {
        for (name, expected) in [
            ("pasword", Some("password")),
            ("passwrod", Some("password")),
            ("PASSWORD", Some("password")),
            ("db-user", Some("DB_USER")),
            ("db_uesr", Some("DB_USER")),
            ("ab", None),
            ("x", None),
            ("token", None),
            ("", None),
        ] {
            assert_eq!(
                nearest(name, ["username", "password", "DB_USER", "a"]),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn candidates_of_any_kind_do_no_harm() {
        assert_eq!(nearest("password", ["pass\nword"]), None);
        let long = "a".repeat(4 << 20);
        assert_eq!(nearest(&long, [long.as_str()]), None);
        assert_eq!(nearest("password", [long.as_str()]), None);
    }
}
