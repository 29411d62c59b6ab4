//! `envlatch install DEST`: this program, copied to where another container finds it.
//!
//! The copy appears complete or not at all (temporary file, `fsync`, `rename`), may be repeated by any user that may write
//! to the directory, and is never open for writing when someone executes it (ETXTBSY).

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::problem::{Exit, Problem};

/// Readable and executable for all, writable for none.
const MODE: u32 = 0o555;

/// Copies this program to `dest`, a path or a directory.
///
/// # Errors
/// 73 with the path and the cause.
pub(crate) fn install(dest: &OsStr) -> Result<(), Problem> {
    let dest = if Path::new(dest).is_dir() {
        Path::new(dest).join("envlatch")
    } else {
        PathBuf::from(dest)
    };
    let temporary = temporary_beside(&dest);
    let copied = copy(&temporary)
        .and_then(|()| fs::rename(&temporary, &dest))
        .and_then(|()| sync_directory(&dest));
    copied.map_err(|error| {
        let _already_failing = fs::remove_file(&temporary);
        Problem::new(
            Exit::CannotCreate,
            format!("install: {}: {}", dest.display(), cause(&error)),
        )
    })
}

fn temporary_beside(dest: &Path) -> PathBuf {
    let name = dest
        .file_name()
        .unwrap_or(OsStr::new("envlatch"))
        .to_string_lossy();
    dest.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn copy(temporary: &Path) -> io::Result<()> {
    let mut this = File::open(std::env::current_exe()?)?;
    // What an earlier run left behind under the same process id is not ours to trust.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)?;
    io::copy(&mut this, &mut copy)?;
    copy.set_permissions(Permissions::from_mode(MODE))?;
    copy.sync_all()
}

fn sync_directory(dest: &Path) -> io::Result<()> {
    let parent = dest
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "no such directory, or /proc is not mounted; create the directory first".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not write there; check the volume's mode and the user".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only; mount a writable volume there".to_owned()
        }
        io::ErrorKind::StorageFull => {
            "no space left; the volume needs twice the size of this program".to_owned()
        }
        _ => error.to_string(),
    }
}
