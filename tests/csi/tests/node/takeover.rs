//! Volumes that the Secrets Store CSI Driver mounted, under a driver name that is now ours.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use envlatch_csi_tests::Node;
use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published, mounts, own_names};
use nix::mount::{MsFlags, mount};

use crate::{DRIVER, PLUGIN, block_on};

const FOREIGN: &str = "secrets-store.csi.k8s.io";

fn mount_tmpfs(target: &Path) {
    fs::create_dir_all(target).unwrap();
    mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .unwrap();
}

/// What the Secrets Store CSI Driver leaves in a volume: files of a generation of Kubernetes' `AtomicWriter`, with links to them.
fn fill(target: &Path) {
    let generation = "..2026_11_24_01_32_36.000000001";
    fs::create_dir(target.join(generation)).unwrap();
    fs::write(target.join(generation).join("password"), "theirs").unwrap();
    symlink(generation, target.join("..data")).unwrap();
    symlink("..data/password", target.join("password")).unwrap();
}

#[test]
#[ignore = "needs root"]
fn what_another_driver_mounted_is_left_alone_and_unpublished() {
    let node = Node::new();
    let _plugin = node.start(PLUGIN, &["--driver-name", DRIVER, "--driver-name", FOREIGN]);
    block_on(async {
        let call = node.connect(FOREIGN).await;
        // A driver that was restarted in mid-mount has mounted a second time.
        for mounted in 1..=2 {
            let volume = node.volume("secrets");
            for _ in 0..mounted {
                mount_tmpfs(&volume.target);
            }
            fill(&volume.target);
            call.publish(&volume).await.unwrap();
            assert_eq!(mounts(&volume.target).len(), mounted);
            assert_eq!(
                fs::read_to_string(volume.target.join("password")).unwrap(),
                "theirs"
            );
            assert_eq!(own_names(&volume.target), 2, "..data and one generation");
            let fetched = |line: &String| line.starts_with("fetch");
            assert!(!node.log().iter().any(fetched), "{:?}", node.log());
            // A container that still has a file open does not keep the volume.
            let _open = fs::File::open(volume.target.join("password")).unwrap();
            call.unpublish(&volume).await.unwrap();
            assert_gone(&volume.target);
        }
    });
}

#[test]
#[ignore = "needs root"]
fn what_it_never_filled_is_mounted_anew() {
    let node = Node::new();
    let _plugin = node.start(PLUGIN, &["--driver-name", FOREIGN]);
    block_on(async {
        let call = node.connect(FOREIGN).await;
        let volume = node.volume("secrets");
        mount_tmpfs(&volume.target);
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
    });
}
