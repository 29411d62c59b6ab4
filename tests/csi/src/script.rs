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
    /// The server does not answer before a script without this is written, which counts then.
    pub held: bool,
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

    /// A server that is waited for.
    #[must_use]
    pub fn held() -> Self {
        Self {
            held: true,
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
        replace(directory, "script.json", &serde_json::to_vec(self).unwrap());
    }

    /// Which volume was named due last, and how many were before; none in turn 0.
    #[must_use]
    pub fn due(directory: &Path) -> (u32, String) {
        let Ok(text) = fs::read_to_string(directory.join("due")) else {
            return (0, String::new());
        };
        let (turn, volume_id) = text.split_once(' ').unwrap();
        (turn.parse().unwrap(), volume_id.to_owned())
    }

    /// Takes back what was named due, which a new process would take for news.
    pub fn nothing_due(directory: &Path) {
        fs::remove_file(directory.join("due")).unwrap();
    }

    /// Names a volume due.
    pub fn set_due(directory: &Path, volume_id: &str) {
        let (turn, _) = Self::due(directory);
        let text = format!("{} {volume_id}", turn + 1);
        replace(directory, "due", text.as_bytes());
    }
}

fn replace(directory: &Path, name: &str, text: &[u8]) {
    let new = directory.join("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, directory.join(name)).unwrap();
}
