//! System calls that fail in either process: no volume that is not whole, old files stay, and it works again afterwards.

use std::collections::BTreeMap;
use std::fs;

use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published};
use envlatch_csi_tests::{Node, Plugin};
use nix::libc;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};
use tonic::Code;

use crate::{DRIVER, block_on, start};

/// From now on this thread, and what it starts, gets `errno` from `call`.
pub(crate) fn refuse(call: libc::c_long, errno: i32) {
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, Vec::new())]),
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
    for (name, call) in [
        ("mkdirat", libc::SYS_mkdirat),
        ("symlinkat", libc::SYS_symlinkat),
        ("fchownat", libc::SYS_fchownat),
        ("renameat", libc::SYS_renameat),
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
            assert_eq!(envlatch_csi_tests::volume::mounts(&new.target), [""; 0]);
            // Kubelet hears OK, as of every refresh that fails.
            call.publish(&old).await.unwrap();
            assert_published(&old.target, &Script::version(1), None);
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

/// So that not one file more can be opened; its limit before.
fn no_more_files(process: i32) -> Rlimit {
    let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let highest = open.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let highest: u64 = highest.map(|fd| fd.parse().unwrap()).max().unwrap();
    limit(
        process,
        Rlimit {
            current: Some(highest + 1),
            maximum: getrlimit(Resource::Nofile).maximum,
        },
    )
}

fn limit(process: i32, limit: Rlimit) -> Rlimit {
    prlimit(Pid::from_raw(process), Resource::Nofile, limit).unwrap()
}

#[test]
#[ignore = "needs root"]
fn without_descriptors_nothing_is_mounted_and_nothing_is_lost() {
    let node = Node::new();
    let plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        for process in [plugin.worker(), plugin.mounter] {
            Script::version(1).write(&node.script());
            let (old, new) = (node.volume("old"), node.volume("new"));
            call.publish(&old).await.unwrap();
            Script::version(2).write(&node.script());
            let before = no_more_files(process);
            let status = call.publish(&new).await.unwrap_err();
            assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
            call.publish(&old).await.unwrap();
            limit(process, before);
            assert_gone(&new.target);
            assert_published(&old.target, &Script::version(1), None);
            for volume in [&old, &new] {
                call.publish(volume).await.unwrap();
                assert_published(&volume.target, &Script::version(2), None);
            }
        }
    });
}
