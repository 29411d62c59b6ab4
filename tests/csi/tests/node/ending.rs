//! How the plugin ends: with the calls that run, without new ones, and by itself when kubelet does not want it.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use envlatch_csi::proto::registration::RegistrationStatus;
use envlatch_csi::proto::registration::registration_client::RegistrationClient;
use envlatch_csi_tests::script::Script;
use envlatch_csi_tests::volume::{assert_gone, assert_published};
use envlatch_csi_tests::{Call, Node, VolumeOf};
use envlatch_test_support::free_port;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::processes::assert_says;
use crate::{DRIVER, PLUGIN, block_on, start};

/// Longer than any test.
const FOREVER: &str = "1h";

/// A publish whose server does not answer before another script is written.
async fn publish_held(node: &Node, volume: &VolumeOf) -> JoinHandle<Result<(), Status>> {
    Script::held().write(&node.script());
    let (call, volume) = (node.connect(DRIVER).await, volume.clone());
    let publish = tokio::spawn(async move { call.publish(&volume).await });
    until("nothing is fetched", || {
        node.log().iter().any(|line| line.starts_with("fetch"))
    })
    .await;
    publish
}

async fn until(not: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{not}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_no_call_is_taken(node: &Node) {
    until("new calls are still taken", || {
        UnixStream::connect(node.socket(DRIVER)).is_err()
    })
    .await;
}

#[test]
#[ignore = "needs root"]
fn a_call_that_runs_is_finished_and_new_ones_are_refused() {
    let node = Node::new();
    let address = format!("127.0.0.1:{}", free_port("127.0.0.1"));
    let settings = ["--metrics-address", &address, "--drain-timeout", FOREVER];
    let mut plugin = node.start(PLUGIN, &settings);
    let volume = node.volume("secrets");
    block_on(async {
        let publish = publish_held(&node, &volume).await;
        plugin.begin_to_end();
        until_no_call_is_taken(&node).await;
        assert_says(&address, "/readyz", 503, "the plugin is ending");
        Script::version(1).write(&node.script());
        publish.await.unwrap().unwrap();
    });
    assert_eq!(plugin.wait_gone(), Some(0));
    assert_published(&volume.target, &Script::version(1), None);
    assert_eq!(node.log().last().unwrap(), "flush");
}

#[test]
#[ignore = "needs root"]
fn a_call_that_takes_too_long_mounts_nothing_and_is_repeated() {
    let node = Node::new();
    let mut plugin = node.start(PLUGIN, &["--drain-timeout", "100ms"]);
    let volume = node.volume("secrets");
    block_on(async {
        let publish = publish_held(&node, &volume).await;
        plugin.begin_to_end();
        until("the call goes on", || publish.is_finished()).await;
        publish.await.unwrap().unwrap_err();
    });
    assert_eq!(plugin.wait_gone(), Some(0));
    assert_gone(&volume.target);
    assert_eq!(node.log().last().unwrap(), "flush");
    let messages = node.messages();
    assert!(
        messages.contains("calls still run after --drain-timeout"),
        "{messages}"
    );
    Script::version(1).write(&node.script());
    let _plugin = start(&node);
    block_on(async {
        node.connect(DRIVER).await.publish(&volume).await.unwrap();
        assert_published(&volume.target, &Script::version(1), None);
    });
}

/// Kubelet looks again when the socket is made anew.
#[test]
#[ignore = "needs root"]
fn a_plugin_that_kubelet_refuses_ends() {
    let node = Node::new();
    let address = format!("127.0.0.1:{}", free_port("127.0.0.1"));
    let settings = ["--metrics-address", &address, "--drain-timeout", FOREVER];
    let mut plugin = node.start(PLUGIN, &settings);
    let volume = node.volume("secrets");
    let message = "cannot register csi.envlatch.io with kubelet: no room for it";
    block_on(async {
        notify(&node, DRIVER, true, "").await;
        let publish = publish_held(&node, &volume).await;
        assert_says(&address, "/readyz", 200, "ok");
        notify(&node, DRIVER, false, "no room for it").await;
        until_no_call_is_taken(&node).await;
        assert_says(&address, "/readyz", 503, message);
        Script::version(1).write(&node.script());
        publish.await.unwrap().unwrap();
    });
    assert_eq!(plugin.wait_gone(), Some(1));
    assert!(node.messages().contains(message), "{}", node.messages());
    assert!(!node.registration(DRIVER).exists());
    assert_published(&volume.target, &Script::version(1), None);
    let _plugin = start(&node);
    block_on(node.connect(DRIVER));
    assert!(node.registration(DRIVER).exists());
}

#[test]
#[ignore = "needs root"]
fn a_name_that_kubelet_refuses_holds_up_no_other() {
    const TAKEN: &str = "secrets-store.csi.k8s.io";
    let node = Node::new();
    let address = format!("127.0.0.1:{}", free_port("127.0.0.1"));
    let names = ["--driver-name", DRIVER, "--driver-name", TAKEN];
    let settings = [&["--metrics-address", &address], &names[..]].concat();
    let _plugin = node.start(PLUGIN, &settings);
    let volume = node.volume("secrets");
    block_on(async {
        notify(&node, DRIVER, true, "").await;
        notify(&node, TAKEN, false, "another driver has it").await;
        let message =
            "cannot register secrets-store.csi.k8s.io with kubelet: another driver has it";
        assert_says(&address, "/readyz", 503, message);
        Script::version(1).write(&node.script());
        let kubelet = node.connect(DRIVER).await;
        kubelet.publish(&volume).await.unwrap();
        // The other driver is gone, and kubelet has asked again.
        notify(&node, TAKEN, true, "").await;
        assert_says(&address, "/readyz", 200, "ok");
    });
    assert_published(&volume.target, &Script::version(1), None);
}

/// Kubelet's last word on the registration of a name.
async fn notify(node: &Node, driver: &str, plugin_registered: bool, error: &str) {
    let call = Call::connect(&node.registration(driver)).await.unwrap();
    let status = RegistrationStatus {
        plugin_registered,
        error: error.to_owned(),
    };
    RegistrationClient::new(call.channel())
        .notify_registration_status(status)
        .await
        .unwrap();
}
