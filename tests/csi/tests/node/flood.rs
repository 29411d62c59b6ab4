//! Callers that send too much, the wrong thing, or nothing: they get an error, and everybody else is served.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;

use envlatch_csi::proto::csi::NodeGetInfoRequest;
use envlatch_csi::proto::csi::node_client::NodeClient;
use envlatch_csi::proto::registration::InfoRequest;
use envlatch_csi::proto::registration::registration_client::RegistrationClient;
use envlatch_csi_tests::Node;
use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published};
use tokio::task::JoinSet;
use tonic::Code;

use crate::{DRIVER, block_on, start};

#[test]
#[ignore = "needs root"]
fn too_much_is_refused_and_the_service_stays() {
    let node = Node::new();
    let _plugin = start(&node);
    let silent: Vec<UnixStream> = (0..200)
        .map(|_| {
            let mut stream = UnixStream::connect(node.socket(DRIVER)).unwrap();
            stream.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
            stream
        })
        .collect();
    block_on(async {
        let call = node.connect(DRIVER).await;
        let volume = node.volume("secrets");
        let mut large = volume.publish_request();
        large
            .volume_context
            .insert("bundle".to_owned(), "x".repeat(16 << 20));
        let status = call.publish_as(large).await.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange, "{status}");
        assert_gone(&volume.target);

        let mut unknown = RegistrationClient::new(call.channel());
        let status = unknown.get_info(InfoRequest {}).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{status}");

        let mut calls = JoinSet::new();
        for _ in 0..10_000 {
            let mut client = NodeClient::new(call.channel());
            calls.spawn(async move { client.node_get_info(NodeGetInfoRequest {}).await });
        }
        while let Some(answered) = calls.join_next().await {
            assert_eq!(answered.unwrap().unwrap().into_inner().node_id, "node-1");
        }
        call.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
    });
    drop(silent);
}

/// A part of the way to the target that is a link, as kubelet makes none: nothing is done where it leads.
#[test]
#[ignore = "needs root"]
fn a_target_behind_a_link_is_refused() {
    let node = Node::new();
    let _plugin = start(&node);
    block_on(async {
        let call = node.connect(DRIVER).await;
        let other = node.volume("secrets");
        call.publish(&other).await.unwrap();
        // From the mount point up to the directory of the pod.
        for depth in 0..5 {
            let volume = node.volume("secrets");
            let part = volume.target.ancestors().nth(depth).unwrap();
            if part.exists() {
                fs::remove_dir_all(part).unwrap();
            }
            symlink(other.target.ancestors().nth(depth).unwrap(), part).unwrap();
            for status in [call.publish(&volume).await, call.unpublish(&volume).await] {
                let status = status.unwrap_err();
                assert_eq!(status.code(), Code::InvalidArgument, "{depth}: {status}");
                let text = "target_path leads through a link";
                assert!(status.message().contains(text), "{depth}: {status}");
            }
            assert_published(&other.target, &Script::version(1), None);
        }
        assert_eq!(node.log().len(), 1, "{:?}", node.log());
    });
}
