//! Which part of a secret a reference means.

use envlatch_secret::{Secret, Value};

use crate::near::nearest_key;
use crate::pointer::Pointer;
use crate::template::{Template, TemplateError};

/// The key slot of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub(crate) key: Key,
    /// The slot to the letter, with what looks like `?`, `:-` or a pointer in it: a secret may have a key of that name
    pub(crate) literal: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Name(String),
    Pointer(Pointer),
    Template(Template),
}

/// The result of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// The part is there, as text: JSON `null` as nothing, a map or list as compact JSON
    Found(Secret),
    /// It is not
    Absent {
        /// The key as the reference names it; in a template the first that is absent
        key: String,
        /// The most similar key that is there, if it is likely to be meant
        similar: Option<String>,
    },
}

// === impl Selector ===

impl Selector {
    /// The key `name`; when it begins with `/` and no key is spelled so, the place that it leads to as a JSON pointer.
    #[must_use]
    pub fn of_key(name: &str) -> Self {
        let key = Pointer::parse(name).map_or_else(|| Key::Name(name.to_owned()), Key::Pointer);
        Self { key, literal: None }
    }

    /// The key as the reference names it, for messages. A template is only called that: its text may hold a secret.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.key {
            Key::Name(name) => name,
            Key::Pointer(pointer) => pointer.as_str(),
            Key::Template(_) => "${…}",
        }
    }

    /// Takes the part out of `secret`: the object with all keys of a path, or the content of a file.
    ///
    /// # Errors
    /// A template failed. A key that is absent in it is [`Selected::Absent`], as without a template.
    pub fn select(&self, secret: &Value) -> Result<Selected, TemplateError> {
        let literal = self
            .literal
            .as_ref()
            .and_then(Secret::expose_str)
            .and_then(|name| secret.get(name));
        let found = match &self.key {
            _ if literal.is_some() => literal,
            Key::Name(name) => secret.get(name),
            Key::Pointer(pointer) => secret
                .get(pointer.as_str())
                .or_else(|| pointer.follow(secret)),
            Key::Template(template) => {
                return match template.render(secret) {
                    Err(TemplateError::MissingKey { key, similar }) => {
                        Ok(Selected::Absent { key, similar })
                    }
                    rendered => rendered.map(Selected::Found),
                };
            }
        };
        Ok(match found {
            Some(value) => Selected::Found(value.to_text()),
            None => Selected::Absent {
                key: self.name().to_owned(),
                similar: nearest_key(self.name(), secret),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parsed, Schemes, Target, parse};

    const SECRET: &str = r#"{"password":"p","pass?":"odd","a:-b":"literal","c:-d#3":"hash","/x":"slash","port":5432,
        "big":12345678901234567890.50,"exponent":1e400,"none":null,"db":{"hosts":["h0","h1"],"a/b":{"c~d":"deep"}},
        "on":true,"with-dash":"d","reference":"${vault:secret/data/other#key}"}"#;

    fn select(key: &str) -> Result<Selected, TemplateError> {
        let value = format!("vault:secret/data/app#{key}");
        let Ok(Parsed::Whole(reference)) = parse(value.as_bytes(), Schemes { file: false }) else {
            panic!("{value} is no reference")
        };
        let Target::Read { selector, .. } = reference.target else {
            panic!("{value} is no read")
        };
        selector.select(&Value::parse(SECRET.as_bytes()).unwrap())
    }

    #[test]
    fn parts_of_a_secret() {
        for (key, expected) in [
            ("password", "p"),
            ("password?", "p"),
            ("password:-x", "p"),
            ("password#3:-x", "p"),
            ("pass?", "odd"),
            ("pass?#3", "odd"),
            ("a:-b", "literal"),
            ("c:-d#3", "hash"),
            ("/x", "slash"),
            ("/x?", "slash"),
            ("/db/hosts/1", "h1"),
            ("/db/a~1b/c~0d", "deep"),
            ("/db/hosts", r#"["h0","h1"]"#),
            ("db", r#"{"hosts":["h0","h1"],"a/b":{"c~d":"deep"}}"#),
            ("port", "5432"),
            ("big", "12345678901234567890.50"),
            ("exponent", "1e400"),
            ("on", "true"),
            ("none", ""),
            ("none:-x", ""),
            ("with-dash", "d"),
            ("reference", "${vault:secret/data/other#key}"),
            ("${.password}:${.port}", "p:5432"),
            ("${.reference}", "${vault:secret/data/other#key}"),
        ] {
            assert_eq!(select(key), Ok(Selected::Found(expected.into())), "{key}");
        }
    }

    #[test]
    fn absent_parts_name_a_similar_key() {
        for (slot, key, similar) in [
            ("pasword", "pasword", Some("password")),
            ("pasword?", "pasword", Some("password")),
            ("Password:-x", "Password", Some("password")),
            ("with_dash", "with_dash", Some("with-dash")),
            ("zzz", "zzz", None),
            ("/db/hosts/2", "/db/hosts/2", None),
            ("/db/nope", "/db/nope", None),
            ("/password/deeper", "/password/deeper", None),
            ("${.pasword | upper}", ".pasword", Some("password")),
            ("${index .db \"hots\"}", ".db.hots", Some("hosts")),
        ] {
            let expected = Selected::Absent {
                key: key.to_owned(),
                similar: similar.map(str::to_owned),
            };
            assert_eq!(select(slot), Ok(expected), "{slot}");
        }
    }

    #[test]
    fn a_template_that_fails_is_no_absence() {
        assert!(matches!(
            select("${.password | b64dec}"),
            Err(TemplateError::Function { .. })
        ));
        assert!(matches!(
            select("${.none}"),
            Err(TemplateError::Null { .. })
        ));
    }

    #[test]
    fn a_secret_that_is_no_object_has_no_keys() {
        let selector = Selector {
            key: Key::Name("a".to_owned()),
            literal: None,
        };
        for document in ["[]", "\"a\"", "null"] {
            let selected = selector.select(&Value::parse(document.as_bytes()).unwrap());
            assert_eq!(
                selected,
                Ok(Selected::Absent {
                    key: "a".to_owned(),
                    similar: None
                }),
                "{document}"
            );
        }
    }
}
