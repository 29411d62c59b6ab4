//! Which part of a secret a reference means.

use envlatch_secret::{Secret, Value};
use thiserror::Error;

use crate::nearest;
use crate::template::{Template, TemplateError};

/// The key slot of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The key as it is meant, for messages
    pub(crate) name: String,
    /// The key as a secret could have it to the letter, with what looks like `?` or `:-` in it
    pub(crate) literal: String,
    pub(crate) key: Key,
    pub(crate) absence: Absence,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Name,
    Pointer(Vec<String>),
    Template(Template),
}

/// What happens when a path, version or key definitely does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Nothing is started
    Required,
    /// The variable is unset
    Optional,
    /// This text stands in
    Default(String),
}

/// The result of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// The part is there
    Found(Secret),
    /// It is not; perhaps a key with a similar name was meant
    Absent {
        /// The most similar key of the secret
        similar: Option<String>,
    },
}

/// Why a part cannot be made of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectError {
    /// The template in the key slot failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

// === impl Selector ===

impl Selector {
    /// The key as the reference names it, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What happens when it is absent.
    #[must_use]
    pub fn absence(&self) -> &Absence {
        &self.absence
    }

    /// Takes the part out of `secret`, an object with all keys of the path.
    ///
    /// # Errors
    /// A template failed; its text names the function or key.
    pub fn select(&self, secret: &Value) -> Result<Selected, SelectError> {
        let found = match secret.get(&self.literal) {
            Some(value) => Some(value.to_text()),
            None => match &self.key {
                Key::Name => secret.get(&self.name).map(Value::to_text),
                Key::Pointer(parts) => follow(secret, parts).map(Value::to_text),
                Key::Template(template) => Some(template.render(secret)?),
            },
        };
        Ok(found.map_or_else(
            || Selected::Absent {
                similar: self.similar(secret),
            },
            Selected::Found,
        ))
    }

    fn similar(&self, secret: &Value) -> Option<String> {
        let Value::Object(members) = secret else {
            return None;
        };
        nearest(&self.name, members.iter().map(|(name, _)| name.as_str())).map(str::to_owned)
    }
}

/// Follows a JSON pointer (RFC 6901).
fn follow<'a>(value: &'a Value, parts: &[String]) -> Option<&'a Value> {
    parts.iter().try_fold(value, |value, part| match value {
        Value::Object(_) => value.get(part),
        Value::Array(items) => {
            let canonical = part == "0" || !part.starts_with(['0', '+']);
            items.get(canonical.then(|| part.parse::<usize>().ok())??)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parsed, Schemes, Target, parse};

    const SECRET: &str = r#"{"password":"p","pass?":"odd","a:-b":"literal","/x":"slash","port":5432,"none":null,
        "db":{"hosts":["h0","h1"],"a/b":{"c~d":"deep"}},"on":true,"with-dash":"d"}"#;

    fn select(key: &str) -> Result<Selected, SelectError> {
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
            ("pass?", "odd"),
            ("a:-b", "literal"),
            ("/x", "slash"),
            ("/db/hosts/1", "h1"),
            ("/db/a~1b/c~0d", "deep"),
            ("/db/hosts", r#"["h0","h1"]"#),
            ("port", "5432"),
            ("on", "true"),
            ("none", ""),
            ("with-dash", "d"),
            ("${.password}:${.port}", "p:5432"),
        ] {
            assert_eq!(select(key), Ok(Selected::Found(expected.into())), "{key}");
        }
    }

    #[test]
    fn absent_parts_name_a_similar_key() {
        for (key, similar) in [
            ("pasword", Some("password")),
            ("zzz", None),
            ("/db/hosts/2", None),
            ("/db/hosts/01", None),
            ("/db/nope", None),
            ("/password/deeper", None),
            ("nothing?", None),
        ] {
            assert_eq!(
                select(key),
                Ok(Selected::Absent {
                    similar: similar.map(str::to_owned)
                }),
                "{key}"
            );
        }
    }
}
