//! The files of a generation: written by the worker, and looked at again later.
//!
//! The worker owns the directory only until the mounter seals it. Afterwards it may not even read every file, so it
//! remembers what it wrote: paths, modes, lengths, and a digest that tells whether new content is the same.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use data_encoding::HEXLOWER;
use envlatch_secret::Secret;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags, fchmod, mkdirat, readlinkat, statx};
use rustix::io::{Errno, Result, retry_on_intr, write};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::beneath;
use crate::content::{Content, File, MountPath};
use crate::layout::{DATA, Generation, MAX_DEPTH, link_target};
use crate::mounter::Size;

/// A page, the least that a file takes in a tmpfs.
const PAGE: u64 = 4096;
/// Room beyond two generations, for what is about to be removed.
const SLACK: Size = Size {
    bytes: 16 * PAGE,
    inodes: 16,
};

/// A file as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) length: u64,
    digest: String,
}

/// How a mounted volume looks, compared with what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// As it was written.
    Intact,
    /// The files are, but not what is around them: links are missing, or there is debris.
    Unsettled,
    /// Somebody changed the files.
    Changed,
}

/// The files of `content` in a volume of a pod with (`grouped`) or without an `fsGroup`.
pub(crate) fn plan(content: &Content, grouped: bool) -> Vec<Written> {
    let default = if grouped { 0o440 } else { 0o444 };
    let written = |file: &File| Written {
        path: file.path.as_str().to_owned(),
        mode: file.mode.map_or(default, crate::content::Mode::bits),
        length: file.bytes.len() as u64,
        digest: HEXLOWER.encode(&Sha256::digest(file.bytes.expose())),
    };
    content.files().iter().map(written).collect()
}

/// What a volume needs that holds `current` and, for the time of a refresh, `next`.
pub(crate) fn size(current: &[Written], next: &[Written]) -> Size {
    let bytes = |files: &[Written]| -> u64 {
        files
            .iter()
            .map(|file| file.length.div_ceil(PAGE) * PAGE)
            .sum()
    };
    // Two of the larger, so that an ordinary refresh changes nothing.
    Size {
        bytes: 2 * bytes(current).max(bytes(next)) + SLACK.bytes,
        inodes: 2 * inodes(current).max(inodes(next)) + SLACK.inodes,
    }
}

/// The generation's directory, its files and directories, and a link for each that is at the top.
fn inodes(files: &[Written]) -> u64 {
    let directories: BTreeSet<&str> = files.iter().flat_map(|file| parents(&file.path)).collect();
    let tops: BTreeSet<&str> = files.iter().map(|file| top(&file.path)).collect();
    (1 + files.len() + directories.len() + tops.len()) as u64
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn top(path: &str) -> &str {
    path.split_once('/').map_or(path, |(top, _)| top)
}

/// Writes `content` into the empty `directory`, with the modes of `plan`.
///
/// # Errors
/// The kernel refused; what was written is to be thrown away.
pub(crate) fn write_all(directory: &OwnedFd, content: &Content, plan: &[Written]) -> Result<()> {
    let mut made = BTreeSet::new();
    for (file, written) in content.files().iter().zip(plan) {
        for below in file.path.directories() {
            if made.insert(below.to_owned()) {
                make_directory(directory, below)?;
            }
        }
        write_file(directory, &file.path, written.mode, &file.bytes)?;
    }
    Ok(())
}

fn make_directory(root: &OwnedFd, path: &str) -> Result<()> {
    match path.rsplit_once('/') {
        None => mkdirat(root, path, Mode::RWXU),
        Some((parent, name)) => mkdirat(beneath::open_directory(root, parent)?, name, Mode::RWXU),
    }
}

fn write_file(root: &OwnedFd, path: &MountPath, mode: u32, bytes: &Secret) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let file = beneath::open(root, path.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
    let mut rest = bytes.expose();
    while !rest.is_empty() {
        match retry_on_intr(|| write(&file, rest))? {
            0 => return Err(Errno::IO),
            written => rest = &rest[written..],
        }
    }
    fchmod(&file, Mode::from_raw_mode(mode))
}

/// Which of `candidates` `..data` points to.
pub(crate) fn in_force(root: &OwnedFd, candidates: &[Generation]) -> Option<Generation> {
    let target = readlinkat(root, DATA, Vec::new()).ok()?;
    candidates
        .iter()
        .find(|candidate| candidate.directory().as_bytes() == target.as_bytes())
        .copied()
}

/// Compares the volume at `root` with `files` of `generation`, which belong to root and `gid`.
pub(crate) fn inspect(
    root: &OwnedFd,
    generation: Generation,
    files: &[Written],
    gid: u32,
) -> Condition {
    if in_force(root, &[generation]).is_none() || !same_files(root, generation, files, gid) {
        Condition::Changed
    } else if same_top(root, generation, files) {
        Condition::Intact
    } else {
        Condition::Unsettled
    }
}

/// A file or directory as it must be found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    path: String,
    /// Mode and length of a file; `None` for a directory.
    file: Option<(u32, u64)>,
}

fn same_files(root: &OwnedFd, generation: Generation, files: &[Written], gid: u32) -> bool {
    let mut expected: BTreeSet<Entry> = files
        .iter()
        .flat_map(|file| parents(&file.path))
        .map(|path| Entry {
            path: path.to_owned(),
            file: None,
        })
        .collect();
    expected.extend(files.iter().map(|file| Entry {
        path: file.path.clone(),
        file: Some((file.mode, file.length)),
    }));
    let mut found = BTreeSet::new();
    let whole = beneath::open_directory(root, &*generation.directory())
        .and_then(|directory| collect(&directory, "", gid, 0, &mut found));
    whole.is_ok() && found == expected
}

/// Lists `directory` and all below it. Anything that we did not write is an error.
fn collect(
    directory: &OwnedFd,
    prefix: &str,
    gid: u32,
    depth: usize,
    found: &mut BTreeSet<Entry>,
) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Errno::LOOP);
    }
    for (name, kind) in beneath::entries(directory)? {
        let path = format!(
            "{prefix}{}",
            name.to_str().map_err(|_not_ours| Errno::ILSEQ)?
        );
        let status = statx(
            directory,
            &*name,
            AtFlags::SYMLINK_NOFOLLOW,
            StatxFlags::BASIC_STATS,
        )?;
        if (status.stx_uid, status.stx_gid) != (0, gid) {
            return Err(Errno::PERM);
        }
        let mode = u32::from(status.stx_mode) & 0o7777;
        match kind {
            FileType::RegularFile => {
                let file = Some((mode, status.stx_size));
                found.insert(Entry { path, file });
            }
            FileType::Directory if mode == 0o755 => {
                let below = beneath::open_directory(directory, &*name)?;
                collect(&below, &format!("{path}/"), gid, depth + 1, found)?;
                found.insert(Entry { path, file: None });
            }
            _ => return Err(Errno::INVAL),
        }
    }
    Ok(())
}

/// Whether the top of the volume holds what belongs to the generation, and nothing else.
fn same_top(root: &OwnedFd, generation: Generation, files: &[Written]) -> bool {
    let mut expected: BTreeSet<Vec<u8>> = files
        .iter()
        .map(|file| top(&file.path).as_bytes().to_vec())
        .collect();
    let linked = expected.iter().all(|name| {
        readlinkat(root, &**name, Vec::new())
            .is_ok_and(|target| target.as_bytes() == link_target(name))
    });
    expected.insert(DATA.into());
    expected.insert(generation.directory().into_bytes());
    linked
        && beneath::entries(root).is_ok_and(|entries| {
            let found: BTreeSet<Vec<u8>> = entries
                .into_iter()
                .map(|(name, _)| name.into_bytes())
                .collect();
            found == expected
        })
}
