//! How a volume looks inside, as Kubernetes' own `AtomicWriter` lays it out, so that programs find what they know:
//!
//! ```text
//! ..v5f3a…/db-password           a generation: all files of one fetch
//! ..data -> ..v5f3a…              the link whose rename swaps all of them
//! db-password -> ..data/db-password
//! ```

use serde::{Deserialize, Serialize};

/// The link to the generation in force.
pub const DATA: &str = "..data";
/// The same link before its rename.
pub const NEW_DATA: &str = "..data_new";
/// User of the process that writes files, and of the files until they are complete.
pub const WORKER: u32 = 65532;
/// Most directories in one another, in a generation.
pub const MAX_DEPTH: usize = 32;

/// Number of a generation; random, so that no name was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

// === impl Generation ===

impl Generation {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }

    /// Name of its directory.
    #[must_use]
    pub fn directory(self) -> String {
        format!("..v{:016x}", self.0)
    }
}

/// Where the link at the top of the volume points.
#[must_use]
pub fn link_target(top: &[u8]) -> Vec<u8> {
    [DATA.as_bytes(), b"/", top].concat()
}
