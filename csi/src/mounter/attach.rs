//! The mount points below kubelet's directory of pods: looking, attaching, unmounting.
//!
//! Paths lead through directories of kubelet's only: no symbolic link is followed, no mount is crossed but the volume's
//! own, and nothing above the directory that was opened at start can be reached.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags, mkdirat, statx, unlinkat};
use rustix::io::{Errno, Result};
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use rustix::process::fchdir;

use super::wire::Step;
use super::{Failure, tmpfs};
use crate::beneath;
use crate::mountinfo::MountInfo;
use crate::target::{MOUNT, Target};

/// Mounts on one another that are removed in one call; more than any driver was ever seen to stack.
const MAX_LAYERS: usize = 1 << 16;

/// What is mounted on a target.
pub(super) enum Look {
    /// Nothing.
    Absent,
    /// A file system of ours; its root.
    Ours(OwnedFd),
    /// Another one; its root.
    Foreign(OwnedFd),
}

/// The directory that holds the mount point, or `None` when kubelet has removed it, or never made it.
pub(super) fn open_parent(pods: &OwnedFd, target: &Target) -> Result<Option<OwnedFd>> {
    match beneath::open_directory(pods, &*target.parent()) {
        Ok(parent) => Ok(Some(parent)),
        Err(Errno::NOENT) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Opens what is at the mount point now; `None` when there is nothing, not even a directory.
fn open_mount_point(parent: &OwnedFd, flags: OFlags) -> Result<Option<OwnedFd>> {
    // The one place where a mount may be crossed: the volume's own.
    let flags = flags | OFlags::DIRECTORY;
    match beneath::open_across(parent, MOUNT, flags) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Whether `directory` is the root of a mount (`statx(2)`, since Linux 5.8).
pub(super) fn is_mount_root(directory: impl AsFd) -> Result<bool> {
    let status = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::empty())?;
    if !status
        .stx_attributes_mask
        .contains(StatxAttributes::MOUNT_ROOT)
    {
        return Err(Errno::NOSYS);
    }
    Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

pub(super) fn look(parent: &OwnedFd, table: &MountInfo) -> Result<Look> {
    let Some(point) = open_mount_point(parent, OFlags::PATH)? else {
        return Ok(Look::Absent);
    };
    if !is_mount_root(&point)? {
        return Ok(Look::Absent);
    }
    let root = beneath::open_directory(&point, ".");
    Ok(
        if root.as_ref().is_ok_and(tmpfs::is_marked) || is_ours(&point, table)? {
            Look::Ours(root?)
        } else {
            // One that cannot be read is none of our business; it counts as filled.
            Look::Foreign(root.unwrap_or(point))
        },
    )
}

/// What the kernel's table says of it, which is long and grows with every pod.
fn is_ours(point: &OwnedFd, table: &MountInfo) -> Result<bool> {
    let id = statx(point, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
    let mounts = table
        .read()
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(mounts.iter().any(|mount| mount.id == id && mount.is_ours()))
}

/// Shows `mount` at the mount point, which is made for it. This one call is what publishing is.
pub(super) fn attach(mount: &OwnedFd, parent: &OwnedFd) -> std::result::Result<(), Failure> {
    match mkdirat(parent, MOUNT, Mode::from_raw_mode(0o750)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(Step::MakeMountPoint.failed(errno)),
    }
    let attached = open_mount_point(parent, OFlags::PATH)
        .and_then(|point| is_mount_root(point.ok_or(Errno::NOENT)?))
        .and_then(|mounted| if mounted { Err(Errno::BUSY) } else { Ok(()) })
        .and_then(|()| {
            move_mount(
                mount,
                "",
                parent,
                MOUNT,
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
            )
        });
    attached.map_err(|errno| {
        // The error that counts is the one before; a directory that stays is removed by the next unpublish.
        let _ = unlinkat(parent, MOUNT, AtFlags::REMOVEDIR);
        Step::Attach.failed(errno)
    })
}

/// Removes every mount from the mount point, whoever stacked them, and the mount point if it is empty.
pub(super) fn detach(parent: &OwnedFd) -> std::result::Result<(), Failure> {
    // The mount point is named relative to the directory: the only way to name it that no link can turn elsewhere.
    fchdir(parent).map_err(|errno| Step::Unmount.failed(errno))?;
    let unmounted = unmount_all(parent);
    rustix::process::chdir("/").map_err(|errno| Step::Unmount.failed(errno))?;
    unmounted.map_err(|errno| Step::Unmount.failed(errno))?;
    match unlinkat(parent, MOUNT, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Step::RemoveMountPoint.failed(errno)),
    }
}

fn unmount_all(parent: &OwnedFd) -> Result<()> {
    for _ in 0..MAX_LAYERS {
        match open_mount_point(parent, OFlags::PATH)? {
            Some(point) if is_mount_root(&point)? => {}
            _ => return Ok(()),
        }
        match unmount(MOUNT, UnmountFlags::NOFOLLOW) {
            // Somebody has a file open. The pod is gone, so nobody should; it goes when that one closes it.
            Err(Errno::BUSY) => unmount(MOUNT, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?,
            done => done?,
        }
    }
    Err(Errno::BUSY)
}
