//! `mount_setattr(2)`, which makes one mount of a file system read-only and leaves the others as they are.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 1;

/// Makes the mount whose root is open as `mount` read-only, or writable again. Linux 5.12 and newer.
///
/// # Errors
/// The kernel refused; `ENOSYS` means that it is too old.
#[allow(unsafe_code, reason = "the call has no wrapper")]
pub fn set_read_only(mount: impl AsFd, read_only: bool) -> io::Result<()> {
    let attributes = MountAttr {
        attr_set: if read_only { MOUNT_ATTR_RDONLY } else { 0 },
        attr_clr: if read_only { 0 } else { MOUNT_ATTR_RDONLY },
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the kernel reads the empty path and `size_of::<MountAttr>()` bytes of `attributes`, both alive during the
    // call, and keeps no pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result)?;
    Ok(())
}
