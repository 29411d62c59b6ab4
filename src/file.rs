//! Reading one file that is meant to hold a secret: regular, of a bounded size, without waiting.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use envlatch_secret::Secret;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use thiserror::Error;

use crate::beneath::open_beneath;
use crate::problem::Exit;

/// Why a file gives no value. Texts go after its name.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("no such file")]
    Absent,
    #[error("is a {0}, not a regular file")]
    NotRegular(&'static str),
    #[error("leads out of the directory, which is refused; put the file itself there")]
    Escapes,
    #[error("its symbolic links form a loop")]
    Loop,
    #[error("has more than {limit} bytes; raise --max-file-size if that is meant")]
    TooLarge { limit: u64 },
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// The open neither waits for a FIFO's writer nor takes a terminal; what is opened is checked before it is read.
const FLAGS: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

/// Opens `path` beneath `root` and reads all of it, at most `limit` bytes.
pub(crate) fn read_beneath(
    root: BorrowedFd<'_>,
    path: &Path,
    limit: u64,
) -> Result<Secret, ReadError> {
    read(open_beneath(root, path, FLAGS)?, limit)
}

/// The same for a path that may be anywhere.
pub(crate) fn read_path(path: &Path, limit: u64) -> Result<Secret, ReadError> {
    read(
        openat(AT_FDCWD, path, FLAGS | OFlag::O_CLOEXEC, Mode::empty())?,
        limit,
    )
}

fn read(file: OwnedFd, limit: u64) -> Result<Secret, ReadError> {
    let stat = fstat(&file)?;
    if let Some(kind) = not_regular(SFlag::from_bits_truncate(stat.st_mode)) {
        return Err(ReadError::NotRegular(kind));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > limit {
        return Err(ReadError::TooLarge { limit });
    }
    // One allocation of the right size: a growing buffer would leave copies of the secret behind. The byte more lets
    // the read that finds the end fit.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    File::from(file).take(limit + 1).read_to_end(&mut bytes)?;
    let secret = Secret::new(bytes);
    if secret.len() as u64 > limit {
        Err(ReadError::TooLarge { limit })
    } else {
        Ok(secret)
    }
}

/// The name of a file type other than regular, as `stat(1)` prints it.
fn not_regular(mode: SFlag) -> Option<&'static str> {
    match mode & SFlag::S_IFMT {
        SFlag::S_IFREG => None,
        SFlag::S_IFDIR => Some("directory"),
        SFlag::S_IFIFO => Some("fifo"),
        SFlag::S_IFSOCK => Some("socket"),
        SFlag::S_IFCHR => Some("character device"),
        SFlag::S_IFBLK => Some("block device"),
        _ => Some("file of unknown type"),
    }
}

// === impl ReadError ===

impl ReadError {
    /// The exit code this error asks for.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Absent | Self::Escapes | Self::Loop | Self::Io(_) => Exit::Missing,
            Self::NotRegular(_) | Self::TooLarge { .. } => Exit::Data,
        }
    }
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => Self::Absent,
            Errno::EXDEV => Self::Escapes,
            Errno::ELOOP => Self::Loop,
            // A socket, or a device without a driver.
            Errno::ENXIO | Errno::ENODEV => Self::NotRegular("socket or device"),
            other => Self::Io(other.into()),
        }
    }
}
