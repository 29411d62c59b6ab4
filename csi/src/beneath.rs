//! Opening what is in a directory that somebody else may write to: never through a symbolic link, never out of the
//! directory, never into another file system (`openat2(2)`).

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, RawDir, ResolveFlags, SeekFrom, openat2, seek};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Opens `path` beneath `root`.
pub(crate) fn open(
    root: impl AsFd,
    path: impl Arg + Copy,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    resolve(root, path, flags, mode, BENEATH | ResolveFlags::NO_XDEV)
}

/// The same, and what is mounted on `path` is entered.
pub(crate) fn open_across(
    root: impl AsFd,
    path: impl Arg + Copy,
    flags: OFlags,
) -> Result<OwnedFd> {
    resolve(root, path, flags, Mode::empty(), BENEATH)
}

/// Opens the directory `path` beneath `root`, for reading.
pub(crate) fn open_directory(root: impl AsFd, path: impl Arg + Copy) -> Result<OwnedFd> {
    open(
        root,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY,
        Mode::empty(),
    )
}

fn resolve(
    root: impl AsFd,
    path: impl Arg + Copy,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // The kernel asks for another try when something was renamed meanwhile.
    for _ in 0..16 {
        match openat2(&root, path, flags, mode, resolve) {
            Err(Errno::AGAIN) => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// What is in a directory, but itself and its parent.
pub(crate) fn entries(directory: &OwnedFd) -> Result<Vec<(CString, FileType)>> {
    seek(directory, SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut listing = RawDir::new(directory, &mut buffer);
    let mut entries = Vec::new();
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            entries.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(entries)
}
