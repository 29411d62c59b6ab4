//! What the scripted source answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The answer to every fetch until the next one is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Script {
    /// Tells an unchanged volume from a changed one.
    pub version: u32,
    /// Files: text and mode.
    pub files: BTreeMap<String, (String, Option<i64>)>,
    /// How long the server takes.
    pub delay_ms: u64,
    /// A gRPC code and a message, instead of files.
    pub fail: Option<(i32, String)>,
}

// === impl Script ===

impl Script {
    /// The ordinary volume: five files whose texts all name `version`.
    #[must_use]
    pub fn version(version: u32) -> Self {
        let file = |path: &str| (path.to_owned(), (format!("{version}\n").repeat(700), None));
        Self {
            version,
            files: [
                "user",
                "password",
                "tls/ca.crt",
                "tls/tls.crt",
                "tls/private/tls.key",
            ]
            .map(file)
            .into(),
            ..Self::default()
        }
    }

    /// The same with a file more.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str, mode: Option<i64>) -> Self {
        self.files.insert(path.to_owned(), (text.to_owned(), mode));
        self
    }

    /// A failure.
    #[must_use]
    pub fn fail(code: tonic::Code, message: &str) -> Self {
        Self {
            fail: Some((code.into(), message.to_owned())),
            ..Self::default()
        }
    }

    /// Reads the script in `directory`.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let text = fs::read(directory.join("script.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Makes it the one in force.
    pub fn write(&self, directory: &Path) {
        let new = directory.join("script.new");
        fs::write(&new, serde_json::to_vec(self).unwrap()).unwrap();
        fs::rename(new, directory.join("script.json")).unwrap();
    }
}
