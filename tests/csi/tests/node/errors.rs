//! System calls that fail in either process: no volume that is not whole, old files stay, and it works again afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{
    assert_gone, assert_nothing_or_whole, assert_published, mounts, names,
};
use envlatch_csi_tests::{Node, Plugin};
use envlatch_test_support::executable;
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};
use tonic::Code;

use crate::{DRIVER, PLUGIN, block_on, start};

/// From now on this thread, and what it starts, gets `errno` from `call`.
pub(crate) fn refuse(call: libc::c_long, errno: i32) {
    refuse_when(call, Vec::new(), errno);
}

/// The same for the calls that one of `rules` is about; without any, for all.
pub(crate) fn refuse_when(call: libc::c_long, rules: Vec<SeccompRule>, errno: i32) {
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, rules)]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        TargetArch::try_from(std::env::consts::ARCH).unwrap(),
    )
    .unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

/// The plugin with a system call that fails.
fn start_refused(node: &Node, call: libc::c_long, errno: i32) -> Plugin {
    std::thread::scope(|scope| {
        let started = scope.spawn(|| {
            refuse(call, errno);
            start(node)
        });
        started.join().unwrap()
    })
}

#[test]
#[ignore = "needs root"]
fn a_call_that_fails_leaves_nothing_or_the_old_files() {
    let node = Node::new();
    for (name, call, cleans) in [
        ("mkdirat", libc::SYS_mkdirat, true),
        ("symlinkat", libc::SYS_symlinkat, true),
        ("renameat", libc::SYS_renameat, true),
        // Without it, what another user wrote cannot be removed either; the next refresh does it.
        ("fchownat", libc::SYS_fchownat, false),
    ] {
        Script::version(1).write(&node.script());
        let old = node.volume("old");
        let plugin = start(&node);
        block_on(async {
            node.connect(DRIVER).await.publish(&old).await.unwrap();
        });
        plugin.terminate();

        let new = node.volume("new");
        let changed = Script::version(2).with("more", "text", None);
        changed.write(&node.script());
        let plugin = start_refused(&node, call, libc::EIO);
        block_on(async {
            let call = node.connect(DRIVER).await;
            let status = call.publish(&new).await.unwrap_err();
            assert_eq!(status.code(), Code::ResourceExhausted, "{name}: {status}");
            assert!(mounts(&new.target).is_empty(), "{name}");
            // Kubelet hears OK, as of every refresh that fails.
            call.publish(&old).await.unwrap();
            eprintln!("{name}: {:?}", names(&old.target));
            if cleans {
                assert_published(&old.target, &Script::version(1), None);
            } else {
                assert_nothing_or_whole(&old.target, &[&Script::version(1)]);
            }
        });
        plugin.terminate();

        let plugin = start(&node);
        block_on(async {
            let call = node.connect(DRIVER).await;
            for volume in [&old, &new] {
                call.publish(volume).await.unwrap();
                assert_published(&volume.target, &changed, None);
                call.unpublish(volume).await.unwrap();
                assert_gone(&volume.target);
            }
        });
        plugin.terminate();
    }
}

/// Nobody knows any more which files are in force; programs still see them.
#[test]
#[ignore = "needs root"]
fn a_lost_journal_and_a_call_that_fails_leave_the_old_files() {
    let node = Node::new();
    let volume = node.volume("secrets");
    let plugin = start(&node);
    block_on(async {
        node.connect(DRIVER).await.publish(&volume).await.unwrap();
    });
    plugin.terminate();
    nix::mount::umount(&node.kubelet().join("plugins").join(DRIVER).join("state")).unwrap();
    Script::version(2).write(&node.script());
    let plugin = start_refused(&node, libc::SYS_symlinkat, libc::EIO);
    block_on(async {
        node.connect(DRIVER).await.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
    });
    plugin.terminate();
    let _plugin = start(&node);
    block_on(async {
        node.connect(DRIVER).await.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(2), None);
    });
}

fn open_files(process: i32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// Whoever may connect takes every descriptor that the worker can have.
#[test]
#[ignore = "needs root"]
fn without_descriptors_nothing_is_mounted_and_nothing_is_lost() {
    const MOST: usize = 64;
    let node = Node::new();
    let limited = node.script().join("limited");
    let script = format!("#!/bin/sh\nulimit -n {MOST}\nexec '{PLUGIN}' \"$@\"\n");
    executable(&limited, script.as_bytes());
    let plugin = node.start(limited.to_str().unwrap(), &[]);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let (old, new) = (node.volume("old"), node.volume("new"));
        call.publish(&old).await.unwrap();
        Script::version(2).write(&node.script());
        let crowd: Vec<UnixStream> = (0..2 * MOST)
            .map(|_| UnixStream::connect(node.socket(DRIVER)).unwrap())
            .collect();
        while open_files(plugin.worker()) < MOST {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let status = call.publish(&new).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert_gone(&new.target);
        // Kubelet calls again, whatever it was told.
        drop(call.publish(&old).await);
        assert_published(&old.target, &Script::version(1), None);
        drop(crowd);
        while open_files(plugin.worker()) > MOST / 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for volume in [&old, &new] {
            call.publish(volume).await.unwrap();
            assert_published(&volume.target, &Script::version(2), None);
        }
    });
}
