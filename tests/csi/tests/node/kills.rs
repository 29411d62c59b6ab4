//! kill -9, at each system call of each operation, and at random moments. Whatever was killed when: no empty or mixed
//! volume, no mount on a mount, nothing left behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::stepping::{Run, kill_at};
use envlatch_csi_tests::volume::{assert_gone, assert_nothing_or_whole, assert_published};
use envlatch_csi_tests::{Call, Node, Plugin, VolumeOf};

use crate::{DRIVER, block_on, start};

#[derive(Clone, Copy, Debug)]
enum Operation {
    Publish,
    Refresh,
    Unpublish,
}

const OPERATIONS: [Operation; 3] = [Operation::Publish, Operation::Refresh, Operation::Unpublish];

/// Kills at random; `ENVLATCH_KILLS` says how many.
fn kills() -> usize {
    match std::env::var_os("ENVLATCH_KILLS") {
        Some(number) => number.to_str().unwrap().parse().unwrap(),
        None => 30,
    }
}

fn prepare(node: &Node, operation: Operation, number: u32) -> VolumeOf {
    let volume = node.volume("secrets");
    Script::version(number).write(&node.script());
    if !matches!(operation, Operation::Publish) {
        block_on(async {
            node.connect(DRIVER).await.publish(&volume).await.unwrap();
        });
    }
    Script::version(number + 1).write(&node.script());
    volume
}

async fn run(call: &Call, operation: Operation, volume: &VolumeOf) {
    // The plugin dies under it, or not.
    let _ = match operation {
        Operation::Publish | Operation::Refresh => call.publish(volume).await,
        Operation::Unpublish => call.unpublish(volume).await,
    };
}

/// What kubelet does next, with a plugin that runs again.
fn recovers(node: &Node, operation: Operation, volume: &VolumeOf, number: u32) {
    let (old, new) = (Script::version(number), Script::version(number + 1));
    assert_nothing_or_whole(&volume.target, &[&old, &new]);
    let _plugin = start(node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        if !matches!(operation, Operation::Unpublish) {
            call.publish(volume).await.unwrap();
            assert_published(&volume.target, &new, None);
        }
        call.unpublish(volume).await.unwrap();
        assert_gone(&volume.target);
    });
    let state = node.kubelet().join("plugins").join(DRIVER).join("state");
    let left = envlatch_csi_tests::volume::names(&state);
    assert_eq!(
        left,
        Vec::<String>::new(),
        "records of volumes that are gone"
    );
}

/// Runs the operation in a thread of its own, while `observe` does something to the plugin.
fn during<T>(
    node: &Node,
    operation: Operation,
    volume: &VolumeOf,
    observe: impl FnOnce(&AtomicBool, &AtomicBool) -> T,
) -> T {
    let (begin, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let connected = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            block_on(async {
                let call = node.connect(DRIVER).await;
                connected.wait();
                while !begin.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_micros(50));
                }
                run(&call, operation, volume).await;
            });
            done.store(true, Ordering::SeqCst);
        });
        connected.wait();
        observe(&begin, &done)
    })
}

/// Kills `victim` at every boundary of the operation, one run each. How many there were.
fn every_boundary(operation: Operation, victim: fn(&Plugin) -> i32) -> usize {
    let node = Node::new();
    for at in 1.. {
        let number = u32::try_from(at).unwrap() * 2;
        let mut plugin = start(&node);
        let volume = prepare(&node, operation, number);
        let process = victim(&plugin);
        let ended = during(&node, operation, &volume, |begin, done| {
            let started = || begin.store(true, Ordering::SeqCst);
            kill_at(process, at, started, &|| done.load(Ordering::SeqCst))
        });
        match ended {
            Run::Killed => {
                plugin.wait_gone();
                recovers(&node, operation, &volume, number);
            }
            Run::Finished { boundaries } => {
                assert!(boundaries < at);
                return boundaries;
            }
        }
    }
    unreachable!("an operation ends")
}

fn each_operation(name: &str, least: usize, victim: fn(&Plugin) -> i32) {
    for operation in OPERATIONS {
        let boundaries = every_boundary(operation, victim);
        eprintln!("{operation:?}: {boundaries} boundaries of the {name}");
        assert!(boundaries >= least, "hardly anything was observed");
    }
}

#[test]
#[ignore = "needs root"]
fn the_mounter_killed_at_each_of_its_system_calls() {
    each_operation("mounter", 20, |plugin| plugin.mounter);
}

#[test]
#[ignore = "needs root"]
fn the_worker_killed_at_each_of_its_system_calls() {
    each_operation("worker", 20, Plugin::worker);
}

#[test]
#[ignore = "needs root"]
fn either_killed_at_random() {
    let node = Node::new();
    for kill in 0..kills() {
        let operation = OPERATIONS[kill % OPERATIONS.len()];
        let number = u32::try_from(kill + 1).unwrap() * 2;
        let plugin = start(&node);
        let volume = prepare(&node, operation, number);
        let victim = if fastrand::bool() {
            plugin.mounter
        } else {
            plugin.worker()
        };
        during(&node, operation, &volume, |begin, _| {
            begin.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_micros(fastrand::u64(..6000)));
            plugin.kill(victim);
        });
        recovers(&node, operation, &volume, number);
    }
    println!("{} kills at random", kills());
}
