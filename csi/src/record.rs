//! What is journalled for a volume: our part as one line of JSON, then the source's bytes as they are.

use std::collections::BTreeMap;

use envlatch_secret::Secret;
use serde::{Deserialize, Serialize};

use crate::files::Written;
use crate::layout::Generation;
use crate::source::Pod;
use crate::target::Target;

/// What kubelet asked for; the same for the life of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arguments {
    pub(crate) target: Target,
    pub(crate) driver: String,
    pub(crate) pod: Pod,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The pod's `fsGroup`.
    pub(crate) fs_group: Option<u32>,
    pub(crate) read_only: bool,
}

/// A set of files with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) generation: Generation,
    pub(crate) files: Vec<Written>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) header: Header,
    /// The source's.
    pub(crate) state: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) volume_id: String,
    pub(crate) arguments: Arguments,
    /// What was in force when this was written; `None` before the first publish.
    pub(crate) current: Option<Files>,
    /// What is being put in force: journalled before it happens, so that it is known whichever way it ended.
    pub(crate) next: Option<Files>,
}

// === impl Arguments ===

impl Arguments {
    /// Group of the files.
    pub(crate) fn gid(&self) -> u32 {
        self.fs_group.unwrap_or(0)
    }
}

// === impl Record ===

impl Record {
    pub(crate) fn encode(&self) -> Secret {
        let mut bytes =
            serde_json::to_vec(&self.header).expect("names and numbers always serialise");
        bytes.reserve_exact(1 + self.state.len());
        bytes.push(b'\n');
        bytes.extend_from_slice(self.state.expose());
        Secret::new(bytes)
    }

    /// `None` for what another version wrote: that counts as lost.
    pub(crate) fn decode(record: &Secret) -> Option<Self> {
        let bytes = record.expose();
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        Some(Self {
            header: serde_json::from_slice(&bytes[..end]).ok()?,
            state: Secret::new(bytes[end + 1..].to_vec()),
        })
    }

    /// The generations that `..data` may point to.
    pub(crate) fn generations(&self) -> Vec<Generation> {
        [&self.header.current, &self.header.next]
            .into_iter()
            .flatten()
            .map(|files| files.generation)
            .collect()
    }
}
