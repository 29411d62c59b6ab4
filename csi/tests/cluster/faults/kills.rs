//! `kill -9` of the plugin at random moments, while pods start and volumes are refreshed.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::bed::{bundle, cluster, kill_plugin, mounts, shell, volume};

const KILLS: usize = 20;

/// Whether both files are there and belong together, again and again while refreshes happen. A generation that was replaced between
/// two looks is gone, so a look that failed is repeated once.
const CHECK: &str = "look() { (cd -P /mnt/secrets/..data && a=$(cat a) && b=$(cat b) && [ -n \"$a\" ] && [ \"$a\" = \"$b\" ]); }; \
    for i in 1 2 3 4 5 6 7 8; do look || look || { echo broken; ls -la /mnt/secrets/; exit 1; }; sleep 0.1; done; echo whole";

#[test]
#[ignore = "needs the cluster"]
fn twenty_kills_leave_no_empty_volume_and_no_stacked_mount() {
    let cluster = cluster();
    let namespace = cluster.namespace("kills");
    let put = |value: usize| {
        let value = value.to_string();
        namespace.put(cluster.vault(), "pair", &json!({"a": value, "b": value}));
    };
    put(0);
    bundle(
        &namespace,
        "app",
        &[("a", "pair#a"), ("b", "pair#b")],
        &json!({"refresh": "10s"}),
    );
    let attributes = json!({"bundle": "app"});
    let lasting = shell(
        &namespace,
        "lasting",
        volume("secrets", &attributes),
        "sleep 3600",
    );
    lasting.runs();
    let (mut moments, mut pods) = (Vec::new(), Vec::new());
    for round in 1..=KILLS {
        put(round);
        let pod = shell(
            &namespace,
            &format!("app-{round}"),
            volume("secrets", &attributes),
            CHECK,
        );
        // From before kubelet's call to after the mount.
        let moment = Duration::from_millis(fastrand::u64(0..900));
        moments.push(moment.as_millis());
        sleep(moment);
        kill_plugin(cluster);
        // The plugin is there again, so that the next kill meets one.
        pod.until("has started", |pod| {
            let state = &pod["status"]["containerStatuses"][0]["state"];
            (!state["running"].is_null() || !state["terminated"].is_null()).then_some(())
        });
        pods.push(pod);
    }
    for (pod, moment) in pods.iter().zip(&moments) {
        let ended = pod.ended();
        let log = String::from_utf8(pod.log("")).unwrap();
        assert_eq!(ended.code, 0, "killed after {moment} ms: {log}");
        assert_eq!(log, "whole\n");
        pod.delete(Duration::ZERO);
    }
    println!("{KILLS} kills, milliseconds after a pod was created: {moments:?}");
    let output = lasting.exec(&["sh", "-c", "[ -s /mnt/secrets/a ] && [ -s /mnt/secrets/b ]"]);
    assert!(output.status.success(), "{output:?}");
    let targets = mounts(cluster);
    let mut unique = targets.clone();
    unique.dedup();
    assert_eq!(targets, unique, "a mount lies on top of another");
    envlatch_test_support::eventually(
        "volumes of pods that are gone are gone",
        Duration::from_secs(120),
        || {
            let uid = lasting.uid();
            let left: Vec<String> = mounts(cluster)
                .into_iter()
                .filter(|target| !target.contains(&uid))
                .collect();
            left.is_empty().then_some(())
        },
    );
}
