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

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) volume_id: String,
    pub(crate) arguments: Arguments,
    /// What was in force when this was written; `None` before the first publish.
    pub(crate) current: Option<Files>,
    /// What is being put in force: journalled before it happens, so that it is known whichever way it ended.
    pub(crate) next: Option<Files>,
}

/// A set of files, its name, and what the source said about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) generation: Generation,
    pub(crate) files: Vec<Written>,
    #[serde(skip)]
    pub(crate) state: Secret,
}

#[derive(Serialize, Deserialize)]
struct Header {
    volume_id: String,
    arguments: Arguments,
    current: Option<Files>,
    next: Option<Files>,
    /// Bytes of the current state; the next one is what follows it.
    current_state: usize,
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
        let state = |files: &Option<Files>| {
            files
                .as_ref()
                .map(|files| files.state.clone())
                .unwrap_or_default()
        };
        let (current, next) = (state(&self.current), state(&self.next));
        let header = Header {
            volume_id: self.volume_id.clone(),
            arguments: self.arguments.clone(),
            current: self.current.clone(),
            next: self.next.clone(),
            current_state: current.len(),
        };
        let header = serde_json::to_vec(&header).expect("names and numbers always serialise");
        // Of the right size from the start: a growing buffer would leave copies of the states behind.
        let mut bytes = Vec::with_capacity(header.len() + 1 + current.len() + next.len());
        bytes.extend_from_slice(&header);
        bytes.push(b'\n');
        bytes.extend_from_slice(current.expose());
        bytes.extend_from_slice(next.expose());
        Secret::new(bytes)
    }

    /// `None` for what another version wrote: that counts as lost.
    pub(crate) fn decode(record: &Secret) -> Option<Self> {
        let bytes = record.expose();
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let mut header: Header = serde_json::from_slice(&bytes[..end]).ok()?;
        let (current, next) = bytes[end + 1..].split_at_checked(header.current_state)?;
        for (files, state) in [(&mut header.current, current), (&mut header.next, next)] {
            if let Some(files) = files {
                files.state = Secret::new(state.to_vec());
            }
        }
        Some(Self {
            volume_id: header.volume_id,
            arguments: header.arguments,
            current: header.current,
            next: header.next,
        })
    }

    /// The generations that `..data` may point to.
    pub(crate) fn generations(&self) -> Vec<Generation> {
        [&self.current, &self.next]
            .into_iter()
            .flatten()
            .map(|files| files.generation)
            .collect()
    }

    /// What the source said last, whether it took effect or not.
    pub(crate) fn last_state(&self) -> Option<&Secret> {
        self.next
            .as_ref()
            .or(self.current.as_ref())
            .map(|files| &files.state)
    }

    /// The record once it is known which generation is in force: a refresh that was killed either happened or did not.
    /// Gives what the source said about one that did not.
    pub(crate) fn settle(&mut self, in_force: Option<Generation>) -> Option<Secret> {
        let next = self.next.take()?;
        if in_force == Some(next.generation) {
            self.current = Some(next);
            None
        } else {
            Some(next.state)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(generation: u64, state: &str) -> Files {
        Files {
            generation: Generation(generation),
            files: Vec::new(),
            state: Secret::from(state),
        }
    }

    fn record(current: Option<Files>, next: Option<Files>) -> Record {
        Record {
            volume_id: "csi-1".to_owned(),
            arguments: Arguments {
                target: Target::new("0f8fad5bd9cb469fa16570867728950e", "a").unwrap(),
                driver: "csi.envlatch.io".to_owned(),
                pod: Pod {
                    name: "p".to_owned(),
                    namespace: "n".to_owned(),
                    uid: "0f8fad5bd9cb469fa16570867728950e".to_owned(),
                    service_account: "s".to_owned(),
                },
                attributes: BTreeMap::new(),
                fs_group: None,
                read_only: true,
            },
            current,
            next,
        }
    }

    #[test]
    fn both_states_come_back() {
        for (current, next) in [
            (None, None),
            (Some(files(1, "old\nstate")), None),
            (None, Some(files(2, "new"))),
            (Some(files(1, "")), Some(files(2, "new"))),
        ] {
            let record = record(current, next);
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
        assert_eq!(Record::decode(&Secret::from("{}\n")), None);
    }

    #[test]
    fn a_refresh_that_was_killed_happened_or_not() {
        let both = record(Some(files(1, "old")), Some(files(2, "new")));
        let mut happened = both.clone();
        assert_eq!(happened.settle(Some(Generation(2))), None);
        assert_eq!(happened, record(Some(files(2, "new")), None));
        let mut not = both;
        assert_eq!(not.settle(Some(Generation(1))), Some(Secret::from("new")));
        assert_eq!(not, record(Some(files(1, "old")), None));
    }
}
