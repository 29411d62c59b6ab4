//! What is inside a volume: generations, their owner, `..data` and the links.
//!
//! A container that mounts a volume writable may have put anything there, and may be putting it there right now. So
//! nothing found is trusted: names are opened one by one beneath a descriptor, without following links and without
//! leaving the file system; what is not as it must be is removed, whatever it is.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Uid, chmod, chownat, fchmod, fchown,
    mkdirat, readlinkat, renameat, renameat_with, symlinkat, unlinkat,
};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

use crate::beneath::{self, entries, open_directory};
use crate::layout::{DATA, Generation, MAX_DEPTH, NEW_DATA, WORKER, link_target};

/// Directories of files can be entered by everybody; the files have modes of their own.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);
/// How often the top of the volume is gone through before whoever fills it again wins.
const ROUNDS: usize = 256;

/// Makes the directory of `generation`, for the worker to fill.
pub(super) fn make_generation(root: &OwnedFd, generation: Generation) -> Result<OwnedFd> {
    let name = generation.directory();
    mkdirat(root, &name, Mode::RWXU)?;
    let directory = open_directory(root, &name)?;
    fchown(
        &directory,
        Some(Uid::from_raw(WORKER)),
        Some(Gid::from_raw(WORKER)),
    )?;
    Ok(directory)
}

/// Gives `generation` and all in it to root and `gid`. The worker set the modes of files.
pub(super) fn seal(root: &OwnedFd, generation: Generation, gid: u32) -> Result<()> {
    own(root, &*generation.directory(), gid)?;
    seal_directory(&open_directory(root, &*generation.directory())?, gid, 0)
}

fn seal_directory(directory: &OwnedFd, gid: u32, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Errno::LOOP);
    }
    fchmod(directory, DIRECTORY_MODE)?;
    for (name, kind) in entries(directory)? {
        own(directory, &*name, gid)?;
        if kind == FileType::Directory {
            seal_directory(&open_directory(directory, &*name)?, gid, depth + 1)?;
        }
    }
    Ok(())
}

fn own(directory: &OwnedFd, name: impl Arg, gid: u32) -> Result<()> {
    chownat(
        directory,
        name,
        Some(Uid::ROOT),
        Some(Gid::from_raw(gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

/// Puts `generation` in force with one rename.
pub(super) fn swap(root: &OwnedFd, generation: Generation) -> Result<()> {
    remove(root, NEW_DATA)?;
    symlinkat(&*generation.directory(), root, NEW_DATA)?;
    match renameat(root, NEW_DATA, root, DATA) {
        Err(Errno::ISDIR) => {
            set_aside(root, DATA, root)?;
            renameat(root, NEW_DATA, root, DATA)
        }
        renamed => renamed,
    }
}

/// Whether `..data` is the link to `generation`.
pub(super) fn is_in_force(root: &OwnedFd, generation: Generation) -> bool {
    readlinkat(root, DATA, Vec::new())
        .is_ok_and(|target| target.as_bytes() == generation.directory().as_bytes())
}

/// Leaves at the top of the volume what belongs to `generation`, which is in force: itself, `..data`, and a link for
/// each of its entries.
pub(super) fn settle(root: &OwnedFd, generation: Generation, gid: u32) -> Result<()> {
    fchown(root, Some(Uid::ROOT), Some(Gid::from_raw(gid)))?;
    fchmod(root, DIRECTORY_MODE)?;
    let own_name = generation.directory();
    let wanted: BTreeSet<CString> = entries(&open_directory(root, &*own_name)?)?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let is_link = |name: &CString| {
        readlinkat(root, &**name, Vec::new())
            .is_ok_and(|target| target.as_bytes() == link_target(name.as_bytes()))
    };
    sweep(root, |name| {
        name.as_bytes() == own_name.as_bytes()
            || name.as_bytes() == DATA.as_bytes()
            || (wanted.contains(name) && is_link(name))
    })?;
    for name in wanted {
        match symlinkat(&*link_target(name.as_bytes()), root, &*name) {
            Err(Errno::EXIST) if is_link(&name) => {}
            made => made?,
        }
    }
    Ok(())
}

/// Removes what an interrupted refresh or a container left among the volume's own names, to have room for a new
/// generation. What programs see stays: `current`, or what `..data` names when that is not known any more.
pub(super) fn clear_debris(root: &OwnedFd, current: Option<Generation>) -> Result<()> {
    let seen = || readlinkat(root, DATA, Vec::new()).ok();
    let kept = match current {
        Some(current) => Some(current.directory().into_bytes()),
        None => seen().map(CString::into_bytes),
    };
    sweep(root, |name| {
        !name.as_bytes().starts_with(b"..")
            || name.as_bytes() == DATA.as_bytes()
            || kept.as_deref() == Some(name.as_bytes())
    })
}

/// Removes everything at the top that is not to stay. Directories in directories are moved to the top first, so the
/// depth that somebody made does not matter.
fn sweep(root: &OwnedFd, stays: impl Fn(&CString) -> bool) -> Result<()> {
    for _ in 0..ROUNDS {
        let mut clean = true;
        for (name, _) in entries(root)? {
            if !stays(&name) {
                clean = false;
                remove(root, &*name)?;
            }
        }
        if clean {
            return Ok(());
        }
    }
    Err(Errno::BUSY)
}

/// Removes `name` from the top; the directories in it are set aside, for the next round.
pub(super) fn remove(root: &OwnedFd, name: impl Arg + Copy) -> Result<()> {
    match unlinkat(root, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(other) => return Err(other),
    }
    unlock(root, name)?;
    let directory = open_directory(root, name)?;
    for (entry, kind) in entries(&directory)? {
        if kind == FileType::Directory {
            set_aside(&directory, &*entry, root)?;
        } else {
            unlinkat(&directory, &*entry, AtFlags::empty())?;
        }
    }
    unlinkat(root, name, AtFlags::REMOVEDIR)
}

/// Moves a directory to a free name at the top, where the next sweep finds it.
fn set_aside(directory: &OwnedFd, name: impl Arg + Copy, root: &OwnedFd) -> Result<()> {
    // Moving a directory changes its "..", which needs the right to write to it.
    unlock(directory, name)?;
    for number in 0..u32::MAX {
        let free = format!("..old{number}");
        match renameat_with(directory, name, root, &free, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            moved => return moved,
        }
    }
    Err(Errno::EXIST)
}

/// Makes a directory one that we may read and change. Without CAP_DAC_OVERRIDE that takes its owner, and a mode.
fn unlock(parent: &OwnedFd, name: impl Arg + Copy) -> Result<()> {
    own(parent, name, 0)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let directory = beneath::open(parent, name, flags, Mode::empty())?;
    // chmod(2) by name would follow a link that somebody puts there now; by descriptor it wants a readable one.
    let same = format!("/proc/self/fd/{}", directory.as_raw_fd());
    chmod(same, Mode::RWXU)
}
