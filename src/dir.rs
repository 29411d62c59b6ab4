//! All files of a directory, from one consistent generation.
//!
//! kubelet and CSI drivers replace a volume's content by renaming the link `..data` to a new directory and then deleting
//! the old one. So the link is resolved once, everything is read beneath that descriptor, and the link is compared
//! afterwards: a changed link means that deleting may have begun, and everything is read again. Directories without
//! `..data` (Docker's `/run/secrets`) are read as they are.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use envlatch_secret::Secret;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};

use crate::beneath::{open_beneath, open_directory};
use crate::file::{ReadError, read_beneath};
use crate::name::{Mapping, Selection};
use crate::problem::{Exit, Problem, Problems};

/// The link that names the current generation (`AtomicWriter` in kubernetes/pkg/volume/util).
const CURRENT: &str = "..data";

/// How long a directory may keep changing before that is an error: a writer replaces it in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// One file of a directory.
pub(crate) struct SourceFile {
    /// Its path below the directory, with `/` between components
    pub(crate) path: OsString,
    /// Its content, as it is on disk
    pub(crate) content: Secret,
}

/// What to read of a directory, and how much.
pub(crate) struct Request<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) selection: &'a Selection,
    pub(crate) mapping: Mapping,
    /// Largest file, in bytes
    pub(crate) max_file_size: u64,
}

/// A directory at one instant: the descriptor to read beneath, and what `..data` said.
struct Generation {
    directory: OwnedFd,
    link: Option<OsString>,
}

/// Reads every selected file. What is not selected is neither opened nor checked.
///
/// # Errors
/// Each file that cannot be used, by name; or the directory itself.
pub(crate) fn read(request: &Request<'_>) -> Result<Vec<SourceFile>, Problems> {
    let root = open_directory(request.dir).map_err(|errno| cannot_open(request.dir, errno))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let generation =
            Generation::current(&root).map_err(|errno| cannot_open(request.dir, errno))?;
        let files = request.read_generation(&generation);
        if generation.is_current(&root) {
            return files;
        }
        if Instant::now() > deadline {
            let text = format!(
                "{}: its content kept being replaced for {PATIENCE:?}",
                request.dir.display()
            );
            return Err(Problem::new(Exit::Missing, text).into());
        }
    }
}

fn cannot_open(dir: &Path, errno: Errno) -> Problems {
    let cause = match errno {
        Errno::ENOENT => "no such directory; is the volume mounted there?",
        Errno::ENOTDIR => "is not a directory; give the directory that holds the files",
        Errno::EACCES => "may not be opened by this user; check the volume's mode and fsGroup",
        Errno::EXDEV => "its ..data link leads out of the directory, which is refused",
        other => other.desc(),
    };
    Problem::new(Exit::Missing, format!("{}: {cause}", dir.display())).into()
}

// === impl Generation ===

impl Generation {
    fn current(root: &OwnedFd) -> Result<Self, Errno> {
        match readlinkat(root, CURRENT) {
            Ok(link) => match open_beneath(
                root.as_fd(),
                Path::new(&link),
                OFlag::O_RDONLY | OFlag::O_DIRECTORY,
            ) {
                Ok(directory) => Ok(Self {
                    directory,
                    link: Some(link),
                }),
                // Replaced and deleted between the two calls.
                Err(Errno::ENOENT) if readlinkat(root, CURRENT).as_ref() != Ok(&link) => {
                    Self::current(root)
                }
                Err(errno) => Err(errno),
            },
            Err(_no_link) => {
                let directory = open_beneath(
                    root.as_fd(),
                    Path::new("."),
                    OFlag::O_RDONLY | OFlag::O_DIRECTORY,
                )?;
                Ok(Self {
                    directory,
                    link: None,
                })
            }
        }
    }

    fn is_current(&self, root: &OwnedFd) -> bool {
        readlinkat(root, CURRENT).ok() == self.link
    }
}

// === impl Request ===

impl Request<'_> {
    fn read_generation(&self, generation: &Generation) -> Result<Vec<SourceFile>, Problems> {
        let mut problems = Problems::default();
        let mut paths = Vec::new();
        self.list(generation, PathBuf::new(), &mut paths, &mut problems);
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            match read_beneath(generation.directory.as_fd(), &path, self.max_file_size) {
                Ok(content) => files.push(SourceFile {
                    path: path.into_os_string(),
                    content,
                }),
                Err(error) => problems.add(error.exit(), self.about(&path, &error)),
            }
        }
        problems.or_ok(files)
    }

    /// Adds the selected files in `below`, going into subdirectories where their names can become part of a name.
    fn list(
        &self,
        generation: &Generation,
        below: PathBuf,
        paths: &mut Vec<PathBuf>,
        problems: &mut Problems,
    ) {
        let entries = match entries(generation, &below) {
            Ok(entries) => entries,
            Err(errno) => {
                return problems.add(Exit::Missing, self.about(&below, &ReadError::from(errno)));
            }
        };
        for (name, kind) in entries {
            let path = below.join(&name);
            match kind {
                Some(Type::Directory) if self.selection.excludes(path.as_os_str().as_bytes()) => {}
                Some(Type::Directory) if self.mapping == Mapping::Upper => {
                    self.list(generation, path, paths, problems)
                }
                Some(Type::Directory) => problems.add(Exit::Data, self.subdirectory(&path)),
                _ if self.selection.takes(path.as_os_str().as_bytes()) => paths.push(path),
                _ => {}
            }
        }
    }

    fn subdirectory(&self, path: &Path) -> String {
        let name = path.display();
        format!(
            "{}: {name} is a subdirectory; leave it out with --except '{name}', or make its files names with --names \
             upper (a/b becomes A_B)",
            self.dir.display()
        )
    }

    fn about(&self, path: &Path, error: &ReadError) -> String {
        format!("{}: {error}", self.dir.join(path).display())
    }
}

/// Names and types in the subdirectory `below`, in the order of their bytes. Names that begin with `..` belong to
/// whoever maintains the volume.
fn entries(generation: &Generation, below: &Path) -> Result<Vec<(OsString, Option<Type>)>, Errno> {
    let path = if below.as_os_str().is_empty() {
        Path::new(".")
    } else {
        below
    };
    let directory = open_beneath(
        generation.directory.as_fd(),
        path,
        OFlag::O_RDONLY | OFlag::O_DIRECTORY,
    )?;
    let mut entries = Vec::new();
    for entry in Dir::from_fd(directory)?.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && !name.starts_with(b"..") {
            entries.push((OsString::from_vec(name.to_vec()), entry.file_type()));
        }
    }
    entries.sort_by(|(a, _), (b, _)| OsStr::cmp(a, b));
    Ok(entries)
}
