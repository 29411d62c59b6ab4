//! Limits: of a volume, of a namespace, of the node, of the file system itself.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use envlatch_csi_tests::Node;
use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published, own_names};
use tonic::Code;

use crate::{DRIVER, PLUGIN, block_on, start};

#[test]
#[ignore = "needs root"]
fn a_namespace_that_is_full_does_not_stop_another() {
    let node = Node::new();
    let _plugin = node.start(
        PLUGIN,
        &["--namespace-budget", "256KiB", "--node-budget", "512KiB"],
    );
    block_on(async {
        let call = node.connect(DRIVER).await;
        let first = node.volume("first");
        call.publish(&first).await.unwrap();
        let second = node.volume("second");
        call.publish(&second).await.unwrap();
        let third = node.volume("third");
        let status = call.publish(&third).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(
            status.message().contains("namespace shop"),
            "{}",
            status.message()
        );
        assert!(
            status.message().contains("of 262144 bytes"),
            "{}",
            status.message()
        );
        assert_gone(&third.target);
        let mut other = node.volume("other");
        other.namespace = "bank".to_owned();
        call.publish(&other).await.unwrap();
        call.unpublish(&second).await.unwrap();
        call.publish(&third).await.unwrap();
        assert_published(&third.target, &Script::version(1), None);
    });
}

#[test]
#[ignore = "needs root"]
fn what_is_mounted_counts_after_a_restart() {
    let node = Node::new();
    let arguments = ["--namespace-budget", "256KiB"];
    let plugin = node.start(PLUGIN, &arguments);
    let volumes = [
        node.volume("first"),
        node.volume("second"),
        node.volume("third"),
    ];
    block_on(async {
        let call = node.connect(DRIVER).await;
        call.publish(&volumes[0]).await.unwrap();
        call.publish(&volumes[1]).await.unwrap();
    });
    plugin.terminate();
    let _plugin = node.start(PLUGIN, &arguments);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let status = call.publish(&volumes[2]).await.unwrap_err();
        assert_eq!(
            status.code(),
            Code::ResourceExhausted,
            "{}",
            status.message()
        );
    });
}

#[test]
#[ignore = "needs root"]
fn a_volume_that_is_too_large_is_refused_and_the_old_files_stay() {
    let node = Node::new();
    let _plugin = node.start(PLUGIN, &["--volume-size", "64KiB", "--volume-files", "8"]);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        let large = Script::version(1).with("large", &"x".repeat(65_537), None);
        large.write(&node.script());
        let status = call.publish(&volume).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(
            status.message().contains("--volume-size"),
            "{}",
            status.message()
        );
        assert_gone(&volume.target);

        Script::version(1).write(&node.script());
        call.publish(&volume).await.unwrap();
        let many = (0..9).fold(Script::version(2), |script, number| {
            script.with(&format!("file{number}"), "x", None)
        });
        many.write(&node.script());
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
        assert!(
            node.log().last().unwrap().contains("refused"),
            "{:?}",
            node.log()
        );
        assert!(
            node.log().last().unwrap().contains("--volume-files"),
            "{:?}",
            node.log()
        );
    });
}

/// A container that fills its volume, with bytes or with names.
#[test]
#[ignore = "needs root"]
fn a_full_volume_keeps_its_files_and_no_debris() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        for by_names in [false, true] {
            Script::version(1).write(&node.script());
            let volume = node.volume("secrets");
            call.publish(&volume).await.unwrap();
            let container = node.writable(&volume);
            let held = fill(&container, by_names);
            Script::version(2).write(&node.script());
            for _ in 0..3 {
                call.publish(&volume).await.unwrap();
                assert_eq!(own_names(&volume.target), 2, "debris");
                assert_published(&volume.target, &Script::version(1), None);
            }
            let line = node.log().last().unwrap().clone();
            assert!(
                line.contains("refused") && line.contains("No space left"),
                "{line}"
            );
            drop(held);
            call.publish(&volume).await.unwrap();
            assert_published(&volume.target, &Script::version(2), None);
        }
    });
}

/// Until nothing fits. The files are removed by the plugin, but they take room as long as they are open.
fn fill(container: &Path, by_names: bool) -> Vec<fs::File> {
    let mut held = Vec::new();
    for number in 0.. {
        let Ok(mut file) = fs::File::create(container.join(format!("fill{number}"))) else {
            break;
        };
        let full = !by_names && file.write_all(&[b'x'; 4096]).is_err();
        held.push(file);
        if full {
            break;
        }
    }
    held
}
