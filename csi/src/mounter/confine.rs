//! What each of the two processes gives up before it listens to anybody.
//!
//! The mounter needs CAP_SYS_ADMIN for mounting and CAP_CHOWN to give files their owner. It is root without
//! CAP_DAC_OVERRIDE: kubelet's directories are root's, and what a container closed against root is made root's first.

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};
use thiserror::Error;

use crate::layout::WORKER;

/// What the mounter keeps.
const MOUNTER: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::CHOWN);

/// What the mounter calls, and nothing else. It opens nothing but beneath a descriptor, has no `execve`, no socket but
/// the one it has, no `ptrace`, no `setns`.
const MOUNTER_CALLS: &[libc::c_long] = &[
    // mounts
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_umount2,
    // files
    libc::SYS_openat2,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_fsetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_readlinkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchdir,
    libc::SYS_chdir,
    libc::SYS_close,
    libc::SYS_fcntl,
    // the worker, and a last word on stderr
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_write,
    // memory, signals, the end
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// A right could not be given up, so nothing is started.
#[derive(Debug, Error)]
#[error("cannot {doing}: {cause}")]
pub struct ConfineError {
    doing: &'static str,
    cause: io::Error,
}

/// Leaves this process with CAP_SYS_ADMIN and CAP_CHOWN, without network, and with the system calls it needs.
///
/// # Errors
/// Something could not be given up.
pub fn confine_mounter() -> Result<(), ConfineError> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| failed("leave the network (is this process root?)", errno.into()))?;
    setgroups(&[]).map_err(|errno| failed("leave its groups", errno.into()))?;
    limit_capabilities(MOUNTER)?;
    set_no_new_privs(true).map_err(|errno| failed("set no_new_privs", errno.into()))?;
    let filter = filter(MOUNTER_CALLS)?;
    apply_filter(&filter).map_err(|error| failed("limit its system calls", io::Error::other(error)))
}

/// Makes this process user 65532 without any capability.
///
/// # Errors
/// Something could not be given up.
pub fn confine_worker() -> Result<(), ConfineError> {
    let (uid, gid) = (Uid::from_raw(WORKER), Gid::from_raw(WORKER));
    // While still root: taking from the bounding set needs a capability itself.
    drop_bounding(CapabilitySet::empty())?;
    setgroups(&[]).map_err(|errno| failed("leave its groups", errno.into()))?;
    setresgid(gid, gid, gid).map_err(|errno| failed("change its group", errno.into()))?;
    setresuid(uid, uid, uid).map_err(|errno| failed("change its user", errno.into()))?;
    set_sets(CapabilitySet::empty())?;
    set_no_new_privs(true).map_err(|errno| failed("set no_new_privs", errno.into()))
}

fn limit_capabilities(kept: CapabilitySet) -> Result<(), ConfineError> {
    drop_bounding(kept)?;
    set_sets(kept)
}

fn drop_bounding(kept: CapabilitySet) -> Result<(), ConfineError> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            // Past the last that this kernel knows.
            Err(Errno::INVAL) => break,
            dropped => {
                dropped.map_err(|errno| failed("limit its capabilities", errno.into()))?;
            }
        }
    }
    Ok(())
}

fn set_sets(kept: CapabilitySet) -> Result<(), ConfineError> {
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    clear_ambient_capability_set()
        .and_then(|()| set_capabilities(None, sets))
        .map_err(|errno| failed("limit its capabilities", errno.into()))
}

fn filter(calls: &[libc::c_long]) -> Result<BpfProgram, ConfineError> {
    let unknown = |error| failed("limit its system calls", io::Error::other(error));
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(unknown)?;
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    // A call that is not on the list is a fault of ours or an attack: both end the plugin.
    SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        arch,
    )
    .and_then(BpfProgram::try_from)
    .map_err(unknown)
}

fn failed(doing: &'static str, cause: io::Error) -> ConfineError {
    ConfineError { doing, cause }
}
