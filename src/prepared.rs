//! The program as the kernel takes it, and why the kernel would not.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use envlatch_secret::Secret;
use nix::errno::Errno;
use nix::unistd::execve;

use crate::name::shown;
use crate::problem::{Exit, Problem, Problems};
use crate::start::Resolution;

/// What a missing command means in a container, where it is most often a surprise.
pub(crate) const NO_COMMAND: &str = "\
no command to start; write it after the options: envlatch run [OPTIONS] -- COMMAND [ARG]...
  In a Dockerfile, ENTRYPOINT resets the CMD of the base image: repeat it, as in CMD [\"nginx\", \"-g\", \"daemon off;\"].
  `docker image inspect IMAGE` shows Entrypoint and Cmd of the base image; the command is both, one after the other.
  In Kubernetes, `command` replaces ENTRYPOINT and drops CMD: write the whole command in `args`, or set both.";

/// What `execve(2)` takes.
pub(crate) struct Prepared {
    path: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    shown: String,
}

/// Checks what the kernel will be given.
///
/// # Errors
/// What the kernel would refuse, by name.
pub(crate) fn prepare(resolution: &Resolution, argv: &[OsString]) -> Result<Prepared, Problems> {
    let Resolution {
        merged,
        command: Some(command),
        ..
    } = resolution
    else {
        return Err(Problem::new(Exit::Usage, NO_COMMAND).into());
    };
    crate::limits::check(merged, argv)?;
    let variables: Vec<_> = merged
        .0
        .iter()
        .map(|(name, entry)| Secret::new([name, b"=".as_slice(), entry.value.expose()].concat()))
        .collect();
    Prepared::new(command, argv, variables.iter().map(Secret::expose))
}

// === impl Prepared ===

impl Prepared {
    /// Turns everything into what C takes.
    ///
    /// # Errors
    /// A NUL byte, which was looked for before.
    pub(crate) fn new<'a>(
        command: &Path,
        argv: &[OsString],
        variables: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, Problems> {
        let c_string = |bytes: &[u8]| {
            CString::new(bytes).map_err(|_nul| Problem::new(Exit::Bug, "a NUL byte was overlooked"))
        };
        let words = argv.iter().map(|word| c_string(word.as_bytes()));
        Ok(Self {
            path: c_string(command.as_os_str().as_bytes())?,
            argv: words.collect::<Result<_, _>>()?,
            envp: variables.map(c_string).collect::<Result<_, _>>()?,
            shown: shown(command.as_os_str().as_bytes()),
        })
    }

    /// Becomes the program, or says why not.
    pub(crate) fn exec(&self) -> Problems {
        if let Err(error) = envlatch_sys::signals::default_sigpipe() {
            return Problem::new(Exit::Bug, format!("cannot restore SIGPIPE: {error}")).into();
        }
        let Err(errno) = execve(&self.path, &self.argv, &self.envp);
        let (exit, cause) = match errno {
            Errno::ENOENT => (
                Exit::NotFound,
                "the file is there, but the loader or interpreter that it asks for is not",
            ),
            Errno::ENOEXEC => (
                Exit::NotExecutable,
                "is no program; a script needs #! and its interpreter in the first line",
            ),
            Errno::EACCES => (
                Exit::NotExecutable,
                "may not be executed; check its mode, and that its volume is not noexec",
            ),
            Errno::E2BIG => (
                Exit::Data,
                "environment and arguments are too large together; let it read large values as files",
            ),
            other => (Exit::NotExecutable, other.desc()),
        };
        Problem::new(exit, format!("{}: {cause}", self.shown)).into()
    }
}
