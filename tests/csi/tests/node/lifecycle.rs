//! Publish, refresh, statistics and unpublish of ordinary volumes.

use std::fs;

use envlatch_csi::proto::csi::volume_usage::Unit;
use envlatch_csi_tests::Node;
use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published, mounts};
use tonic::Code;

use crate::{DRIVER, PLUGIN, block_on, start};

#[test]
#[ignore = "needs root"]
fn a_volume_lives() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
        let options = &mounts(&volume.target)[0];
        for option in [
            "ro,",
            "nosuid",
            "nodev",
            "noexec",
            "noswap",
            "size=",
            "envlatch-csi",
        ] {
            assert!(options.contains(option), "{option}: {options}");
        }
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);

        let changed = Script::version(2).with("new", "file", None);
        changed.write(&node.script());
        let before = mounts(&volume.target);
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &changed, None);
        // Larger, but the same mount.
        assert_eq!(before.len(), mounts(&volume.target).len());

        let usage = call.statistics(&volume).await.unwrap().usage;
        assert!(
            usage
                .iter()
                .any(|usage| usage.unit() == Unit::Bytes && usage.used > 0)
        );
        assert!(
            usage
                .iter()
                .any(|usage| usage.unit() == Unit::Inodes && usage.used > 0)
        );

        call.unpublish(&volume).await.unwrap();
        assert_gone(&volume.target);
        call.unpublish(&volume).await.unwrap();
        let status = call.statistics(&volume).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    });
    let id = node.log()[0].split(' ').nth(1).unwrap().to_owned();
    assert_eq!(
        node.log(),
        [
            format!("fetch {id} mounted=false intact=false state=- abandoned=- tokens=[]"),
            format!("fetch {id} mounted=true intact=true state=1 abandoned=- tokens=[]"),
            format!("fetch {id} mounted=true intact=true state=1 abandoned=- tokens=[]"),
            format!("forget {id} state=2"),
            format!("forget {id} state=-"),
        ]
    );
}

#[test]
#[ignore = "needs root"]
fn modes_and_groups_are_those_that_were_asked_for() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let mut volume = node.volume("secrets");
        volume.fs_group = Some(2000);
        let script = Script::version(1).with("key", "k", Some(0o400));
        script.write(&node.script());
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &script, Some(2000));

        let only_the_mode = Script {
            version: 2,
            ..script
        }
        .with("key", "k", Some(0o640));
        only_the_mode.write(&node.script());
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &only_the_mode, Some(2000));
    });
}

#[test]
#[ignore = "needs root"]
fn equal_content_changes_no_file() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        call.publish(&volume).await.unwrap();
        let generation = fs::read_link(volume.target.join("..data")).unwrap();
        let same = Script {
            version: 2,
            ..Script::version(1)
        };
        same.write(&node.script());
        call.publish(&volume).await.unwrap();
        assert_eq!(
            fs::read_link(volume.target.join("..data")).unwrap(),
            generation
        );
        call.publish(&volume).await.unwrap();
        assert!(node.log().last().unwrap().contains("state=2"));
    });
}

#[test]
#[ignore = "needs root"]
fn failures_leave_what_was() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        for code in [Code::PermissionDenied, Code::Unavailable] {
            Script::fail(code, "the server says no").write(&node.script());
            let status = call.publish(&volume).await.unwrap_err();
            assert_eq!(
                (status.code(), status.message()),
                (code, "Scripted: the server says no")
            );
            assert_gone(&volume.target);
        }
        Script::version(1).write(&node.script());
        call.publish(&volume).await.unwrap();
        Script::fail(Code::PermissionDenied, "the server says no").write(&node.script());
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
        Script::version(2).write(&node.script());
        let mut other = volume.publish_request();
        other
            .volume_context
            .insert("bundle".to_owned(), "other".to_owned());
        let status = call.publish_as(other).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
        assert_published(&volume.target, &Script::version(1), None);
    });
}

#[test]
#[ignore = "needs root"]
fn a_publish_outlives_its_call_and_is_joined() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        let slow = Script {
            delay_ms: 10_000,
            ..Script::version(1)
        };
        slow.write(&node.script());
        let short = std::time::Duration::from_millis(300);
        tokio::time::timeout(short, call.publish(&volume))
            .await
            .unwrap_err();
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
        assert_eq!(node.log().len(), 1, "one fetch: {:?}", node.log());

        // An unpublish does not wait for the server.
        let held = node.volume("held");
        Script {
            delay_ms: 60_000,
            ..slow
        }
        .write(&node.script());
        let (published, unpublished) = tokio::join!(call.publish(&held), async {
            while node.log().len() < 2 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            call.unpublish(&held).await
        });
        assert_eq!(published.unwrap_err().code(), Code::Aborted);
        unpublished.unwrap();
        assert_gone(&held.target);
    });
}

#[test]
#[ignore = "needs root"]
fn a_hundred_calls_at_once_end_as_the_last() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        let calls = (0..100).map(|number| {
            let (call, volume) = (call.clone(), volume.clone());
            async move {
                if number % 2 == 0 {
                    call.publish(&volume).await
                } else {
                    call.unpublish(&volume).await
                }
            }
        });
        let mut running = tokio::task::JoinSet::new();
        calls.for_each(|call| {
            running.spawn(call);
        });
        while let Some(ended) = running.join_next().await {
            if let Err(status) = ended.unwrap() {
                assert_eq!(status.code(), Code::Aborted, "{status}");
            }
        }
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
        call.unpublish(&volume).await.unwrap();
        assert_gone(&volume.target);
    });
}

#[test]
#[ignore = "needs root"]
fn an_upgrade_and_a_lost_journal_leave_mounts_alone() {
    let node = Node::new();
    let plugin = start(&node);
    let volume = node.volume("secrets");
    block_on(async {
        node.connect(DRIVER).await.publish(&volume).await.unwrap();
    });
    let registration = node.registration(DRIVER);
    assert!(registration.exists());
    assert_eq!(plugin.terminate(), Some(0));
    assert!(!registration.exists(), "kubelet would ask there in vain");
    assert_published(&volume.target, &Script::version(1), None);
    let plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        call.publish(&volume).await.unwrap();
    });
    let log = node.log();
    assert_eq!(log[1], "flush", "an end that is asked for is used");
    assert!(log[3].contains("intact=true state=1"), "{log:?}");
    plugin.terminate();
    let state = node.kubelet().join("plugins").join(DRIVER).join("state");
    assert_eq!(mounts(&state).len(), 1, "one state for both processes");
    nix::mount::umount(&state).unwrap();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        Script::version(2).write(&node.script());
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(2), None);
        call.unpublish(&volume).await.unwrap();
        assert_gone(&volume.target);
    });
}

#[test]
#[ignore = "needs root"]
fn the_state_takes_another_size_from_the_next_process_and_keeps_what_is_in_it() {
    let node = Node::new();
    let volume = node.volume("secrets");
    let state = node.kubelet().join("plugins").join(DRIVER).join("state");
    for (size, bytes) in [("1MiB", 1 << 20), ("8MiB", 8 << 20), ("2MiB", 2 << 20)] {
        let plugin = node.start(PLUGIN, &["--state-size", size]);
        block_on(async {
            let call = node.connect(DRIVER).await;
            call.publish(&volume).await.unwrap();
        });
        let found = nix::sys::statvfs::statvfs(&state).unwrap();
        assert_eq!(found.blocks() * found.fragment_size(), bytes);
        assert_eq!(found.files(), bytes / 4096);
        assert_eq!(plugin.terminate(), Some(0));
    }
    let log = node.log();
    assert!(
        log.last_chunk::<2>().unwrap()[0].contains("intact=true state=1"),
        "{log:?}"
    );
}

#[test]
#[ignore = "needs root"]
fn stale_directories_of_a_rebooted_node_are_no_obstacle() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        fs::create_dir(&volume.target).unwrap();
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
        call.unpublish(&volume).await.unwrap();
        fs::create_dir(&volume.target).unwrap();
        fs::write(volume.target.join("stray"), "x").unwrap();
        let status = call.unpublish(&volume).await.unwrap_err();
        assert!(
            status.message().contains("remove that"),
            "{}",
            status.message()
        );
        fs::remove_dir_all(&volume.target).unwrap();
        fs::remove_dir_all(volume.target.parent().unwrap()).unwrap();
        call.unpublish(&volume).await.unwrap();
        let status = call.publish(&volume).await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted, "{}", status.message());
    });
}

#[test]
#[ignore = "needs root"]
fn what_is_due_is_refreshed_without_a_call() {
    let node = Node::new();
    let plugin = start(&node);
    let volume = node.volume("secrets");
    let due = |number: u32| {
        Script::version(number).write(&node.script());
        Script::set_due(&node.script(), &volume.id);
    };
    let fetches = || {
        node.log()
            .iter()
            .filter(|line| line.starts_with("fetch"))
            .count()
    };
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let begin = std::time::Instant::now();
        while !done() {
            assert!(
                begin.elapsed() < std::time::Duration::from_secs(30),
                "{what}"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    block_on(async {
        node.connect(DRIVER).await.publish(&volume).await.unwrap();
    });
    let old = fs::read_link(volume.target.join("..data")).unwrap();
    due(2);
    wait("no refresh", &|| {
        fs::read_link(volume.target.join("..data")).unwrap() != old
    });
    block_on(async {
        // What waits for the volume's turn sees the end of that refresh, when what is old is removed too.
        node.connect(DRIVER).await.publish(&volume).await.unwrap();
    });
    assert_published(&volume.target, &Script::version(2), None);

    // A later process goes on with the state, and refreshes what kubelet has asked it for; not what is gone.
    plugin.terminate();
    Script::nothing_due(&node.script());
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        assert!(
            node.log()
                .contains(&format!("resume {} state=2", volume.id)),
            "{:?}",
            node.log()
        );
        call.publish(&volume).await.unwrap();
        let before = fetches();
        due(3);
        wait("no refresh", &|| fetches() > before);
        call.unpublish(&volume).await.unwrap();
        let before = fetches();
        due(4);
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_gone(&volume.target);
        assert_eq!(fetches(), before, "{:?}", node.log());
    });
}
