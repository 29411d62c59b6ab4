//! The parameter `objects` of a SecretProviderClass: a YAML list inside a string.
//!
//! A key that is not known is an error here, with the one that was probably meant: the providers ignore it, and then mount what
//! nobody asked for. An alias that grows, a key given twice and a tabulator are refused with line and column.

use std::collections::BTreeMap;

use envlatch_api::Encoding;
use envlatch_reference::{Selector, nearest};
use envlatch_vault::Value;
use serde::Deserialize;
use serde_saphyr::{Error as YamlError, budget, options};

use super::{Ask, Entry, Take, mode, path};
use crate::Problem;
use crate::problem::Code;

/// How many objects a class may have.
const MAX_OBJECTS: usize = 1024;

/// One item of the list, as it is written. A string is the text of a scalar, quoted or not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Object {
    object_name: Option<String>,
    secret_path: Option<String>,
    secret_key: Option<String>,
    method: Option<String>,
    secret_args: Option<BTreeMap<String, serde_json::Value>>,
    file_permission: Option<String>,
    encoding: Option<String>,
    /// Ours: every key of the secret, each as a file
    all_keys: Option<bool>,
    /// Ours: the object may be absent on the server
    optional: Option<bool>,
    /// Deckhouse's: the value is in base64
    decode_base64: Option<bool>,
}

/// The entries of the list.
///
/// # Errors
/// What cannot be read, with its place.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, Problem> {
    let options = options! {
        with_snippet: false,
        budget: budget! { max_events: 200_000, max_aliases: 64, max_anchors: 64, max_depth: 16, max_documents: 1 },
    };
    if text.trim().is_empty() {
        return Err(Problem::invalid(
            "spec.parameters: objects is missing or empty; name at least one object",
        ));
    }
    let objects: Vec<Object> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| unreadable(&error))?;
    if objects.is_empty() {
        return Err(Problem::invalid(
            "spec.parameters: objects is empty; name at least one object",
        ));
    }
    if objects.len() > MAX_OBJECTS {
        let text = format!(
            "spec.parameters: objects has {} items; at most {MAX_OBJECTS} fit",
            objects.len()
        );
        return Err(Problem::new(
            Code::ResourceExhausted,
            "VolumeTooLarge",
            text,
        ));
    }
    let entries = objects
        .into_iter()
        .enumerate()
        .map(|(index, object)| object.entry(index));
    entries.collect()
}

/// What is wrong, where, and the remedy. The parser's own words can quote the document, so only known cases are worded.
fn unreadable(error: &YamlError) -> Problem {
    let place = error.location().map_or(String::new(), |location| {
        format!(" (line {}, column {})", location.line(), location.column())
    });
    let mut fault = error;
    while let YamlError::AliasError { error, .. } | YamlError::WithSnippet { error, .. } = fault {
        fault = error;
    }
    let fault = match fault {
        YamlError::SerdeUnknownField {
            field, expected, ..
        } => match nearest(field, expected.iter().copied()) {
            Some(similar) => format!("has an unknown key {field}; did you mean {similar}?"),
            None => format!(
                "has an unknown key {field}; known are {}",
                expected.join(", ")
            ),
        },
        YamlError::DuplicateMappingKey { .. } => "has a key given twice".to_owned(),
        YamlError::Budget { .. }
        | YamlError::AliasReplayCounterOverflow { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => {
            "grows beyond every limit by its aliases or its depth; write it out".to_owned()
        }
        _ => "is not a YAML list of objects; check quotes and indentation (blanks, no tabulators)"
            .to_owned(),
    };
    Problem::invalid(format!("spec.parameters: objects{place} {fault}"))
}

// === impl Object ===

impl Object {
    fn entry(self, index: usize) -> Result<Entry, Problem> {
        let Some(name) = self.object_name.clone().filter(|name| !name.is_empty()) else {
            return Err(Problem::invalid(format!(
                "spec.parameters: objects: item {} has no objectName; name its file",
                index + 1
            )));
        };
        let field = format!("object {name:?}");
        let Some(secret_path) = &self.secret_path else {
            return Err(Problem::invalid(format!(
                "{field} has no secretPath; set it to MOUNT/PATH"
            )));
        };
        let (path, query) = path::parse(&format!("{field}: secretPath"), secret_path)?;
        let file_mode = self
            .file_permission
            .as_deref()
            .map(|text| file_mode(&field, text));
        let (take, encoding) = (self.take(&field)?, self.encoding(&field)?);
        if matches!(take, Take::Whole) && encoding != Encoding::Utf8 {
            return Err(Problem::invalid(format!(
                "{field} has an encoding and no secretKey; the whole response is JSON: name the key that is encoded"
            )));
        }
        Ok(Entry {
            ask: Ask {
                path,
                query,
                arguments: self.arguments(&field)?,
            },
            take,
            encoding,
            mode: file_mode.transpose()?,
            optional: self.optional.unwrap_or_default(),
            name,
        })
    }

    fn take(&self, field: &str) -> Result<Take, Problem> {
        match (self.secret_key.as_deref(), self.all_keys) {
            (None | Some(""), Some(true)) => Ok(Take::AllKeys {
                prefix: String::new(),
            }),
            (Some(_), Some(true)) => Err(Problem::invalid(format!(
                "{field} has both secretKey and allKeys; remove one of them"
            ))),
            (None | Some(""), _) => Ok(Take::Whole),
            (Some(key), _) => Ok(Take::Key(Selector::of_key(key))),
        }
    }

    /// The providers send the arguments of a GET as a body that no server reads, so they cannot have been meant.
    fn arguments(&self, field: &str) -> Result<Option<Value>, Problem> {
        let method = self.method.as_deref().unwrap_or("GET").to_ascii_uppercase();
        match method.as_str() {
            "GET"
                if self
                    .secret_args
                    .as_ref()
                    .is_some_and(|given| !given.is_empty()) =>
            {
                Err(Problem::invalid(format!(
                    "{field} has secretArgs, which method GET does not send; set method: PUT, or put them into secretPath after a '?'"
                )))
            }
            "GET" => Ok(None),
            "PUT" | "POST" => {
                let given = serde_json::to_vec(&self.secret_args.clone().unwrap_or_default());
                let json = given.ok().and_then(|json| Value::parse(&json).ok());
                let text = || format!("{field}: secretArgs cannot be written as JSON");
                json.map(Some).ok_or_else(|| Problem::invalid(text()))
            }
            "DELETE" | "PATCH" => Err(Problem::not_granted(format!(
                "{field}: method {method} changes the secret; only GET, PUT and POST are sent"
            ))),
            _ => Err(Problem::invalid(format!(
                "{field}: method is none of GET, PUT and POST"
            ))),
        }
    }

    fn encoding(&self, field: &str) -> Result<Encoding, Problem> {
        let encoding = match self
            .encoding
            .as_deref()
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            None | Some("" | "utf-8" | "utf8") => Encoding::Utf8,
            Some("base64") => Encoding::Base64,
            Some("hex") => Encoding::Hex,
            Some(_) => {
                return Err(Problem::invalid(format!(
                    "{field}: encoding is none of utf-8, base64 and hex"
                )));
            }
        };
        match (encoding, self.decode_base64) {
            (Encoding::Utf8, Some(true)) => Ok(Encoding::Base64),
            (Encoding::Hex, Some(true)) => Err(Problem::invalid(format!(
                "{field} has both encoding: hex and decodeBase64; remove one of them"
            ))),
            _ => Ok(encoding),
        }
    }
}

/// Octal, as the providers' examples write it. A number without a leading zero is refused, because 644 and 420 can both be meant
/// by it.
fn file_mode(field: &str, text: &str) -> Result<u32, Problem> {
    let field = format!("{field}: filePermission");
    match text.strip_prefix("0o") {
        Some(digits) => mode(&field, &format!("0{digits}")),
        None => mode(&field, text),
    }
}
