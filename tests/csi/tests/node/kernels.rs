//! Kernels that lack a call, which a seccomp filter plays: the plugin says so and goes on with the safest that is left.

use std::path::Path;

use envlatch_csi_tests::Node;
use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published, mounts};
use nix::libc;

use crate::errors::refuse;
use crate::{DRIVER, block_on, start};

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
