//! Kernels that lack a call, which a seccomp filter plays: the plugin says so and goes on with the safest that is left.

use std::path::Path;

use envlatch_csi_tests::Node;
use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published, mounts};
use nix::libc;
use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use crate::errors::{refuse, refuse_when};
use crate::{DRIVER, block_on, start};

/// What a plugin says at its start.
const READ_ONLY: &str = "cannot make a mount read-only by itself (Linux 5.12 can)";
const NOSWAP: &str = "cannot keep a tmpfs out of swap (Linux 6.3 can)";

/// From now on this thread, and what it starts, has a kernel without `call`.
fn without(call: libc::c_long) {
    refuse(call, libc::ENOSYS);
}

/// A volume is mounted, looked at, refreshed and unmounted.
fn lives(node: &Node, look: impl FnOnce(&Path)) {
    let _plugin = start(node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
        look(&volume.target);
        Script::version(2).write(&node.script());
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(2), None);
        assert_eq!(mounts(&volume.target).len(), 1);
        call.unpublish(&volume).await.unwrap();
        assert_gone(&volume.target);
    });
}

#[test]
#[ignore = "needs root"]
fn without_mount_setattr_the_mount_stays_writable_on_the_node() {
    let node = Node::new();
    without(libc::SYS_mount_setattr);
    lives(&node, |target| {
        assert!(mounts(target)[0].starts_with("rw,"))
    });
    let messages = node.messages();
    assert!(messages.contains(READ_ONLY), "{messages}");
}

#[test]
#[ignore = "needs root"]
fn without_noswap_a_volume_is_mounted_and_the_danger_named() {
    let node = Node::new();
    without_flags_of_file_systems();
    lives(&node, |target| {
        assert!(!mounts(target)[0].contains("noswap"))
    });
    let messages = node.messages();
    assert!(messages.contains(NOSWAP), "{messages}");
    assert!(!messages.contains(READ_ONLY), "{messages}");
}

/// From now on no file system knows a flag (`fsconfig(2)`, `FSCONFIG_SET_FLAG`); the plugin uses none but "noswap".
fn without_flags_of_file_systems() {
    let (command, set_flag) = (1, 0);
    let condition =
        SeccompCondition::new(command, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, set_flag);
    let rule = SeccompRule::new(vec![condition.unwrap()]).unwrap();
    refuse_when(libc::SYS_fsconfig, vec![rule], libc::EINVAL);
}

#[test]
#[ignore = "needs root"]
fn without_extended_attributes_a_volume_is_recognised_all_the_same() {
    let node = Node::new();
    refuse(libc::SYS_fsetxattr, libc::EOPNOTSUPP);
    lives(&node, |target| assert!(!is_marked(target)));
}

#[test]
#[ignore = "needs root"]
fn with_them_it_is_recognised_without_the_table_of_mounts() {
    lives(&Node::new(), |target| assert!(is_marked(target)));
}

fn is_marked(target: &Path) -> bool {
    rustix::fs::getxattr(target, "trusted.envlatch", &mut [0; 1]).is_ok()
}

#[test]
#[ignore = "needs root"]
fn without_fsopen_it_does_not_start_and_says_why() {
    let node = Node::new();
    without(libc::SYS_fsopen);
    let output = node.run(crate::PLUGIN, &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(errors.contains("Linux 5.8 or newer"), "{errors}");
}
