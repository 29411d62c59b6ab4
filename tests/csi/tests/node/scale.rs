//! As many volumes as a node has pods.

use std::time::Instant;

use envlatch_csi_tests::Node;
use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published};
use envlatch_test_support::memory_kib;

use crate::{DRIVER, block_on, start};

#[test]
#[ignore = "needs root"]
fn a_hundred_and_ten_volumes_at_once() {
    let node = Node::new();
    let plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let sum = || -> u64 {
            let processes = [plugin.worker(), plugin.mounter];
            processes.map(|pid| memory_kib(pid, "VmRSS")).iter().sum()
        };
        let idle = sum();
        let volumes: Vec<_> = (0..110).map(|_| node.volume("secrets")).collect();
        for round in ["published", "republished"] {
            let begin = Instant::now();
            let mut calls = tokio::task::JoinSet::new();
            for volume in volumes.clone() {
                let call = call.clone();
                calls.spawn(async move { call.publish(&volume).await });
            }
            while let Some(ended) = calls.join_next().await {
                ended.unwrap().unwrap();
            }
            eprintln!(
                "110 volumes {round} in {:?}; {} KiB resident, {idle} KiB idle",
                begin.elapsed(),
                sum()
            );
        }
        for volume in &volumes {
            assert_published(&volume.target, &Script::version(1), None);
            call.unpublish(volume).await.unwrap();
            assert_gone(&volume.target);
        }
    });
}
