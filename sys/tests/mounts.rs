//! The read-only flag of one mount, on a tmpfs that is attached nowhere.

use envlatch_sys::mounts::set_read_only;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

#[test]
#[ignore = "needs root"]
fn one_mount_becomes_read_only_and_writable_again() {
    let tmpfs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_create(&tmpfs).unwrap();
    let mount = fsmount(
        &tmpfs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
    .unwrap();
    let create = |name| openat(&mount, name, OFlags::CREATE | OFlags::WRONLY, Mode::RUSR);
    create("before").unwrap();
    set_read_only(&mount, true).unwrap();
    assert_eq!(create("meanwhile").unwrap_err(), Errno::ROFS);
    set_read_only(&mount, false).unwrap();
    create("after").unwrap();
}

#[test]
fn what_is_no_mount_is_an_error() {
    let file = std::fs::File::open("/proc/self/status").unwrap();
    assert!(set_read_only(&file, true).is_err());
}
