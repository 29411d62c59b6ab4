//! Helm, as `scripts/tools helm` built it, and the charts of this repository.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::tool::tool;

/// The example of a user's chart, in a folder of its own, with ours among its dependencies.
pub struct ExampleChart {
    folder: TempDir,
}

/// `helm` with these words: the program at `ENVLATCH_HELM`, else the one that `scripts/tools helm` built.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn helm(words: &[&str]) -> Output {
    let program = tool("ENVLATCH_HELM", "helm");
    Command::new(&program)
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// The folder of the chart `envlatch`.
#[must_use]
pub fn chart() -> PathBuf {
    root().join("deploy/helm/envlatch")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

// === impl ExampleChart ===

impl ExampleChart {
    /// A copy of `examples/chart` after `helm dependency update`.
    ///
    /// # Panics
    /// When Helm refuses it.
    #[must_use]
    pub fn new() -> Self {
        const FILES: [&str; 3] = ["Chart.yaml", "values.yaml", "templates/deployment.yaml"];
        let folder = TempDir::new().expect("a temporary directory can be made");
        let example = Self { folder };
        let path = example.path();
        fs::create_dir_all(path.join("templates")).expect("it is empty");
        for file in FILES {
            fs::copy(root().join("examples/chart").join(file), path.join(file))
                .unwrap_or_else(|error| panic!("examples/chart/{file}: {error}"));
        }
        // Where the example says that our chart is.
        symlink(root().join("deploy"), example.folder.path().join("deploy")).expect("it is new");
        let updated = helm(&["dependency", "update", &path.to_string_lossy()]);
        assert!(updated.status.success(), "{updated:?}");
        example
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("examples/chart")
    }
}

impl Default for ExampleChart {
    fn default() -> Self {
        Self::new()
    }
}
