//! The memory that survives the plugin: who reaches it, how large it is, and what happens without it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;

use envlatch_csi_tests::Node;
use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published, mounts, names};
use envlatch_test_support::free_port;
use nix::mount::{MsFlags, mount};
use tonic::Code;

use crate::processes::get;
use crate::{DRIVER, PLUGIN, block_on};

fn state(node: &Node) -> PathBuf {
    node.kubelet().join("plugins").join(DRIVER).join("state")
}

#[test]
#[ignore = "needs root"]
fn it_is_the_workers_alone_and_as_large_as_is_set() {
    let node = Node::new();
    let _plugin = node.start(PLUGIN, &["--state-size", "3MiB"]);
    block_on(node.connect(DRIVER));
    let state = state(&node);
    let metadata = fs::metadata(&state).unwrap();
    assert_eq!(
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid()),
        (0o700, 65532, 65532)
    );
    let mounts = mounts(&state);
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    let options: Vec<&str> = mounts[0].split([' ', ',']).collect();
    for option in ["nosuid", "nodev", "noexec", "size=3072k"] {
        assert!(options.contains(&option), "{option}: {options:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn nothing_of_ours_is_swapped_where_the_kernel_can_help_it() {
    let node = Node::new();
    let can = node.script().join("can");
    fs::create_dir(&can).unwrap();
    let tmpfs = Some("tmpfs");
    let can = mount(tmpfs, &can, tmpfs, MsFlags::empty(), Some("noswap")).is_ok();
    let _plugin = node.start(PLUGIN, &[]);
    let volume = node.volume("secrets");
    block_on(async {
        node.connect(DRIVER).await.publish(&volume).await.unwrap();
    });
    for place in [state(&node), volume.target] {
        let mounts = mounts(&place);
        let noswap = mounts[0].split([' ', ',']).any(|option| option == "noswap");
        assert_eq!(noswap, can, "{mounts:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn without_room_in_it_nothing_is_mounted_and_old_files_stay() {
    let node = Node::new();
    // Four pages, and a record takes at least one.
    let _plugin = node.start(PLUGIN, &["--state-size", "16KiB"]);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let mut mounted = Vec::new();
        let (refused, status) = loop {
            let volume = node.volume("secrets");
            match call.publish(&volume).await {
                Ok(()) => mounted.push(volume),
                Err(status) => break (volume, status),
            }
            assert!(mounted.len() <= 4, "the journal is larger than was set");
        };
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        let message = "JournalFailed: cannot remember the volume: No space left on device";
        assert!(status.message().starts_with(message), "{status}");
        assert!(status.message().contains("--state-size"), "{status}");
        assert_gone(&refused.target);

        Script::version(2).write(&node.script());
        call.publish(&mounted[0]).await.unwrap();
        assert_published(&mounted[0].target, &Script::version(1), None);
        let told = node.log().pop().unwrap();
        assert_eq!(
            told,
            format!("refused {} {}", mounted[0].id, status.message())
        );

        for volume in mounted {
            call.unpublish(&volume).await.unwrap();
        }
        call.publish(&refused).await.unwrap();
        assert_published(&refused.target, &Script::version(2), None);
    });
}

/// Kubelet hears OK, as of every refresh that fails.
#[test]
#[ignore = "needs root"]
fn a_record_that_cannot_be_read_leaves_the_old_files() {
    let node = Node::new();
    let address = format!("127.0.0.1:{}", free_port("127.0.0.1"));
    let _plugin = node.start(PLUGIN, &["--metrics-address", &address]);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        call.publish(&volume).await.unwrap();
        let is_record = |name: &String| name.starts_with("volume-");
        let record = names(&state(&node)).into_iter().find(is_record).unwrap();
        let record = state(&node).join(record);
        fs::remove_file(&record).unwrap();
        // None is ever followed.
        symlink("/dev/null", &record).unwrap();
        Script::version(2).write(&node.script());
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
        let told = format!("refused {} JournalFailed: ", volume.id);
        let log = node.log();
        assert!(log.last().unwrap().starts_with(&told), "{log:?}");
        let metrics = get(&address, "/metrics");
        let failed = "envlatch_csi_refresh_duration_seconds_count{outcome=\"failed\"} 1";
        assert!(metrics.contains(failed), "{metrics}");
        fs::remove_file(&record).unwrap();
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(2), None);
    });
}

/// The order of the names does not count: neither for what is remembered nor for who runs already.
#[test]
#[ignore = "needs root"]
fn it_is_found_under_any_of_the_names() {
    let (one, two) = (
        ["--driver-name", DRIVER],
        ["--driver-name", "z.example.com"],
    );
    let node = Node::new();
    let plugin = node.start(PLUGIN, &[one, two].concat());
    let volume = node.volume("secrets");
    block_on(async {
        node.connect(DRIVER).await.publish(&volume).await.unwrap();
    });
    plugin.terminate();
    let _plugin = node.start(PLUGIN, &[two, one].concat());
    block_on(async {
        node.connect(DRIVER).await.publish(&volume).await.unwrap();
    });
    let log = node.log();
    assert!(
        log.last().unwrap().contains("intact=true state=1"),
        "{log:?}"
    );
    assert_eq!(mounts(&state(&node)).len(), 1);
    let output = node.run(PLUGIN, &[one, two].concat());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("is running on"), "{errors}");
}
