//! What a volume or a Secret contains and where that comes from: the one model that a SecretBundle, a SecretProviderClass and
//! a SecretsStoreImport become.

mod import;
mod native;
mod objects;
mod parameters;
mod path;
#[cfg(test)]
mod tests;

use std::time::Duration;

use envlatch_api::Encoding;
use envlatch_reference::{Selector, Template};
use envlatch_vault::{Value, may_mint};

use crate::store::Claim;

pub use import::from_import;
pub use native::from_bundle;
pub use parameters::from_class;

/// Everything that one class asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which store, and as whom
    pub claim: Claim,
    /// How old the files may become; without it, as the plugin is configured
    pub refresh: Option<Duration>,
    /// The mode of files that have none of their own
    pub default_mode: Option<u32>,
    /// The secrets
    pub entries: Vec<Entry>,
    /// Texts made of the secrets
    pub templates: Vec<Text>,
}

/// One secret, or all keys of a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The path of its file in the volume; with [`Take::AllKeys`] only a name for messages
    pub name: String,
    /// What the server is asked
    pub ask: Ask,
    /// What is taken from the answer
    pub take: Take,
    /// How the value is encoded on the server
    pub encoding: Encoding,
    /// The mode of the file
    pub mode: Option<u32>,
    /// Whether it may be absent on the server
    pub optional: bool,
}

/// One request. Entries with equal ones share its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Below `/v1/`
    pub path: String,
    /// The query of a read
    pub query: Vec<(String, String)>,
    /// The body of a write, a JSON object; without it, the request is a read
    pub arguments: Option<Value>,
}

/// What is taken from an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Take {
    /// One key, or where a JSON pointer leads
    Key(Selector),
    /// Every key, each under its own name behind this prefix
    AllKeys {
        /// What stands before each name
        prefix: String,
    },
    /// The response as JSON
    Whole,
}

/// A text made of the secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The path of its file in the volume
    pub name: String,
    /// The template; its object has a member for each file
    pub template: Template,
    /// The mode of the file
    pub mode: Option<u32>,
}

// === impl Ask ===

impl Ask {
    /// Whether each answer can be a credential of its own.
    pub(crate) fn issues(&self) -> bool {
        self.arguments.is_some() || may_mint(&self.path)
    }
}

// === impl Plan ===

impl Plan {
    /// The names of its files, as far as they are known before a server is asked.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let known = |entry: &&Entry| !matches!(entry.take, Take::AllKeys { .. });
        let entries = self
            .entries
            .iter()
            .filter(known)
            .map(|entry| entry.name.as_str());
        entries.chain(self.templates.iter().map(|text| text.name.as_str()))
    }
}

/// The permission bits in a text such as `0440`.
fn mode(field: &str, text: &str) -> Result<u32, crate::Problem> {
    let octal = text.strip_prefix('0').filter(|digits| digits.len() <= 4);
    octal
        .and_then(|digits| u32::from_str_radix(digits, 8).ok())
        .filter(|bits| bits & !0o775 == 0)
        .ok_or_else(|| {
            crate::Problem::invalid(format!(
                "{field} is no mode: write it in octal between 0000 and 0775, such as \"0440\", without set-id bits and not writable by everyone"
            ))
        })
}
