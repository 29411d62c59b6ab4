//! JSON pointers (RFC 6901): `/db/hosts/0`.

use envlatch_secret::Value;

/// A valid JSON pointer that does not point to the whole document, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer(String);

// === impl Pointer ===

impl Pointer {
    /// `None` when it does not start with `/` or has a `~` that is not `~0` or `~1`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let escapes_hold = text
            .split('~')
            .skip(1)
            .all(|rest| rest.starts_with(['0', '1']));
        (text.starts_with('/') && escapes_hold).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What it points to in `document`.
    pub(crate) fn follow<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0
            .split('/')
            .skip(1)
            .try_fold(document, |value, part| match value {
                // The order of the two replacements is the RFC's: `~01` is `~1`, not `/`.
                Value::Object(_) => value.get(&part.replace("~1", "/").replace("~0", "~")),
                Value::Array(items) => items.get(index(part)?),
                _ => None,
            })
    }
}

/// An index of an array: digits without leading zeros.
fn index(part: &str) -> Option<usize> {
    let canonical =
        part == "0" || part.starts_with(|first: char| first.is_ascii_digit() && first != '0');
    part.parse().ok().filter(|_| canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        let document = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"~1":9}"#;
        let document = Value::parse(document.as_bytes()).unwrap();
        for (pointer, expected) in [
            ("/foo", Some(r#"["bar","baz"]"#)),
            ("/foo/0", Some(r#""bar""#)),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/c%d", Some("2")),
            ("/e^f", Some("3")),
            ("/g|h", Some("4")),
            ("/i\\j", Some("5")),
            ("/k\"l", Some("6")),
            ("/ ", Some("7")),
            ("/m~0n", Some("8")),
            ("/~01", Some("9")),
            ("/foo/2", None),
            ("/foo/-", None),
            ("/foo/+1", None),
            ("/foo/01", None),
            ("/foo/0/x", None),
            ("/FOO", None),
        ] {
            let found = Pointer::parse(pointer)
                .unwrap()
                .follow(&document)
                .map(Value::to_json);
            assert_eq!(found, expected.map(Into::into), "{pointer}");
        }
    }

    #[test]
    fn what_is_no_pointer() {
        for text in ["", "a", "a/b", "/~", "/a~2", "/~~0"] {
            assert_eq!(Pointer::parse(text), None, "{text}");
        }
    }
}
