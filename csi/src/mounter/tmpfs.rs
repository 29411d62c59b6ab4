//! Making a tmpfs that is attached nowhere (`fsopen(2)`, `fsmount(2)`), and changing it later without touching the mount
//! that pods see (`open_tree(2)` with `OPEN_TREE_CLONE`).

use std::os::fd::{AsFd, OwnedFd};

use envlatch_sys::mounts;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, fspick,
    open_tree,
};

use crate::beneath;
use crate::mountinfo::SOURCE;

/// How much a file system may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of files, in pages.
    pub bytes: u64,
    /// Files, directories and links.
    pub inodes: u64,
}

/// What a new file system is like.
#[derive(Clone, Copy, Debug)]
pub struct Tmpfs {
    /// Its size.
    pub size: Size,
    /// Owner of its root.
    pub uid: u32,
    /// Group of its root.
    pub gid: u32,
    /// Mode of its root.
    pub mode: u32,
}

/// What the kernel can do; found out once at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// tmpfs that is never swapped out (Linux 6.3).
    pub noswap: bool,
    /// Making one mount read-only (Linux 5.12).
    pub read_only: bool,
}

/// Extended attribute of the root of a file system of ours. Only CAP_SYS_ADMIN sets or sees it (`xattr(7)`), so no container does.
const MARK: &str = "trusted.envlatch";

/// Every mount of ours has these.
const ATTRIBUTES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

// === impl Features ===

impl Features {
    /// Tries them on a file system that is thrown away.
    ///
    /// # Errors
    /// The kernel cannot even make a file system that is attached nowhere (before Linux 5.2), or lacks `openat2`
    /// (5.6) or `statx` with mount IDs (5.8); or CAP_SYS_ADMIN is missing.
    pub fn probe() -> Result<Self> {
        let sample = Tmpfs {
            size: Size {
                bytes: 4096,
                inodes: 2,
            },
            uid: 0,
            gid: 0,
            mode: 0o700,
        };
        let all = Self {
            noswap: true,
            read_only: true,
        };
        let (mount, noswap) = match sample.create(all) {
            Err(Errno::INVAL) => {
                let less = Self {
                    noswap: false,
                    ..all
                };
                (sample.create(less)?, false)
            }
            made => (made?, true),
        };
        beneath::open_directory(&mount, ".")?;
        super::attach::is_mount_root(&mount)?;
        let read_only = match set_read_only(&mount, true) {
            Ok(()) => true,
            Err(Errno::NOSYS) => false,
            Err(other) => return Err(other),
        };
        Ok(Self { noswap, read_only })
    }
}

// === impl Tmpfs ===

impl Tmpfs {
    /// Makes it. The descriptor is the root of its only mount, which goes away with it unless it is attached before.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn create(&self, features: Features) -> Result<OwnedFd> {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", SOURCE)?;
        set_size(&context, self.size)?;
        fsconfig_set_string(&context, "mode", format!("{:o}", self.mode))?;
        fsconfig_set_string(&context, "uid", self.uid.to_string())?;
        fsconfig_set_string(&context, "gid", self.gid.to_string())?;
        if features.noswap {
            fsconfig_set_flag(&context, "noswap")?;
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, ATTRIBUTES)
    }
}

/// Marks the root of a file system of ours, so that it is recognised without reading the table of all mounts.
pub(super) fn mark(root: &OwnedFd) -> Result<()> {
    match fsetxattr(root, MARK, b"1", XattrFlags::empty()) {
        // A kernel without CONFIG_TMPFS_XATTR: the table tells.
        Err(Errno::OPNOTSUPP) => Ok(()),
        marked => marked,
    }
}

/// Whether [`mark`] was here. Where it was not, the file system can still be ours.
pub(super) fn is_marked(root: &OwnedFd) -> bool {
    fgetxattr(root, MARK, &mut [0; 1]).is_ok()
}

/// A mount of the same file system that nobody else sees.
pub(super) fn private_clone(mount: impl AsFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(mount, "", flags)
}

/// Gives the file system another size. It cannot become smaller than what is in it.
pub(crate) fn resize(mount: impl AsFd, size: Size, features: Features) -> Result<()> {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = fspick(mount, "", flags)?;
    set_size(&context, size)?;
    if features.noswap {
        // A file system that was made without it (by an older kernel it cannot be: it would not have survived).
        fsconfig_set_flag(&context, "noswap")?;
    }
    fsconfig_reconfigure(&context)
}

/// Makes one mount read-only or writable; the file system itself stays as it is.
pub(super) fn set_read_only(mount: impl AsFd, read_only: bool) -> Result<()> {
    mounts::set_read_only(mount, read_only)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn set_size(context: &OwnedFd, size: Size) -> Result<()> {
    fsconfig_set_string(context, "size", size.bytes.to_string())?;
    fsconfig_set_string(context, "nr_inodes", size.inodes.to_string())
}
