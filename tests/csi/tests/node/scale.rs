//! As many volumes as a node has pods.

use std::fs;
use std::time::Instant;

use envlatch_csi_tests::Node;
use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published};

use crate::{DRIVER, block_on, start};

/// Resident memory of a process in KiB.
fn rss(process: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs root"]
fn a_hundred_and_ten_volumes_at_once() {
    let node = Node::new();
    let plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let sum = || rss(plugin.worker()) + rss(plugin.mounter);
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
