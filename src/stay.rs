//! The launcher that stays: a correct init beside the program, which sees that secrets change and acts.
//!
//! It is one thread of the launcher that waits for signals, files and workers ([`supervisor`]). Everything that touches a
//! value or a server is done by short-lived children ([`worker`]): a start is an ordinary start in a child, which then
//! becomes the program. So a server that does not answer cannot hold up a signal, and what stays in memory is the
//! settings, tokens to give back at the end, names of leases, and a keyed hash.

mod agenda;
mod digest;
mod ledger;
mod program;
mod report;
mod signals;
mod splay;
mod supervisor;
mod terminal;
mod watch;
mod work;
mod worker;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use envlatch_reference::{Reference, Target};

use crate::cli::Words;
use crate::environment::Environment;
use crate::logging;
use crate::plan::{Plan, Variable};
use crate::problem::{Exit, Problem, Problems};
use crate::settings::{self, Settings};
use crate::start::Job;
use digest::Key;
use supervisor::Supervisor;

pub(crate) use program::{NAME, SHORT_NAME, STARTING};

/// What everything here is about.
struct Staying<'a> {
    words: &'a Words,
    environment: &'a Environment,
    settings: &'a Settings,
    how: &'a settings::Staying,
    key: Key,
}

/// Starts the program and stays with it until it ends. In a child that became a worker it returns only when that could
/// not become the program.
///
/// # Errors
/// Why there is no program, or that it was ended because something changed.
pub(crate) fn run(
    words: &Words,
    environment: &Environment,
    settings: &Settings,
    how: &settings::Staying,
) -> Result<ExitCode, Problems> {
    if let Err(error) = envlatch_sys::environ::wipe() {
        logging::debug(format_args!(
            "the launcher's own environment stays readable in /proc: {error}"
        ));
    }
    let Some(key) = Key::generate() else {
        return Err(Problem::new(Exit::Bug, "the kernel gives no random bytes").into());
    };
    let staying = Staying {
        words,
        environment,
        settings,
        how,
        key,
    };
    Supervisor::new(&staying)?.run()
}

// === impl Staying ===

impl Staying<'_> {
    fn job(&self) -> Job<'_> {
        Job::new(self.settings, self.environment, None)
    }

    /// What the environment is made of. Values that cannot be parsed are the start's to report.
    fn plan(&self) -> Option<Plan> {
        Plan::new(self.settings, self.environment).ok()
    }

    /// The directories with files that make the environment.
    fn directories(&self, plan: Option<&Plan>) -> BTreeSet<PathBuf> {
        let mut directories: BTreeSet<_> = self.settings.dirs.iter().cloned().collect();
        for variable in plan.iter().flat_map(|plan| &plan.variables) {
            let files = variable
                .references()
                .filter_map(|reference| self.file(variable, reference));
            for file in files {
                let is_volume = |above: &&Path| above.join("..data").is_symlink();
                directories.extend(file.parent().map(directory));
                directories.extend(file.ancestors().skip(1).filter(is_volume).map(directory));
            }
        }
        directories
    }

    fn file(&self, variable: &Variable, reference: &Reference) -> Option<PathBuf> {
        let Target::File { path, .. } = &reference.target else {
            return None;
        };
        Some(match self.settings.file_root.as_deref() {
            Some(root) if !variable.explicit => root.join(path.trim_start_matches('/')),
            _ => PathBuf::from(path),
        })
    }
}

/// A directory as a path: that of `name` is the working directory.
fn directory(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        path.to_owned()
    }
}
