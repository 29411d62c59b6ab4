//! What the cluster promises to whoever tests on it: what is real in a cluster works here.

use std::time::Duration;

use envlatch_test_support::{Cluster, assert_no_canary, canary, eventually, restricted};
use serde_json::json;

use crate::{APP, APP_WITH_LAUNCHER, SHELL, variable};

#[test]
#[ignore = "needs the cluster"]
fn a_deployment_answers_by_the_name_of_its_service() {
    let namespace = Cluster::shared().namespace("service");
    let serve = "echo hello > /dev/shm/index.html; exec httpd -f -p 8080 -h /dev/shm";
    namespace.apply(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": restricted(&json!({
                    "restartPolicy": "Always",
                    "containers": [{"name": "web", "image": SHELL, "command": ["sh", "-c", serve]}],
                })),
            },
        },
    }));
    namespace.apply(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }));
    let ask = format!(
        "until wget -q -O - http://web.{}.svc.cluster.local 2>/dev/null; do sleep 0.3; done",
        namespace.name()
    );
    let client = namespace.pod(
        "client",
        &json!({"containers": [{"name": "client", "image": SHELL, "command": ["sh", "-c", ask]}]}),
    );
    assert_eq!(client.ended().code, 0);
    assert_eq!(client.log(""), b"hello\n");
}

#[test]
#[ignore = "needs the cluster"]
fn a_daemon_set_runs_on_the_node() {
    let namespace = Cluster::shared().namespace("daemon");
    namespace.apply(json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": restricted(&json!({
                    "restartPolicy": "Always",
                    "containers": [{"name": "agent", "image": APP, "args": ["sleep", "600000"]}],
                })),
            },
        },
    }));
    let names = eventually("the node has its pod", Duration::from_secs(60), || {
        let names = namespace.pods("app=agent");
        (names.len() == 1).then_some(names)
    });
    namespace.existing_pod(&names[0]).runs();
}

#[test]
#[ignore = "needs the cluster"]
fn commands_run_in_a_pod_and_its_log_can_be_read() {
    let namespace = Cluster::shared().namespace("exec");
    let pod = namespace.pod(
        "app",
        &json!({"containers": [{
            "name": "app", "image": SHELL, "command": ["sh", "-c", "echo started; sleep 600"],
        }]}),
    );
    pod.says("started");
    let output = pod.exec(&["id", "-u"]);
    assert_eq!(output.stdout, b"65532\n", "{output:?}");
}

#[test]
#[ignore = "needs the cluster"]
fn a_pod_that_is_not_restricted_is_refused() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("refused");
    let (status, answer) = cluster.try_apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": namespace.name()},
        "spec": {"containers": [{"name": "root", "image": APP}]},
    }));
    assert_eq!(status, 403, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("restricted"));
}

#[test]
#[ignore = "needs the cluster"]
fn the_example_secret_can_be_read_with_the_example_role() {
    let namespace = Cluster::shared().namespace("example");
    let certificate = std::fs::read_to_string(Cluster::shared().ca_file()).unwrap();
    let variables = json!([
        variable("VAULT_ADDR", "https://vault.vault.svc:8200"),
        variable("VAULT_CACERT_BYTES", &certificate),
        variable("VAULT_ROLE", "app"),
        variable("USER_NAME", "vault:secret/data/app#username"),
    ]);
    let pod = namespace.pod(
        "app",
        &json!({"containers": [{"name": "app", "image": APP_WITH_LAUNCHER, "env": variables}]}),
    );
    assert_eq!(pod.ended().code, 0);
    assert_eq!(pod.report().env("USER_NAME").unwrap(), "example-user");
}

#[test]
#[ignore = "needs the cluster"]
fn a_user_namespace_maps_the_users_of_a_pod() {
    let namespace = Cluster::shared().namespace("userns");
    let pod = namespace.pod(
        "app",
        &json!({
            "hostUsers": false,
            "containers": [{"name": "app", "image": SHELL, "command": ["cat", "/proc/self/uid_map"]}],
        }),
    );
    assert_eq!(pod.ended().code, 0);
    let map = String::from_utf8(pod.log("")).unwrap();
    let fields: Vec<&str> = map.split_whitespace().collect();
    assert!(fields[0] == "0" && fields[1] != "0", "{map}");
}

/// A failing test shows events and logs, and no secret.
#[test]
#[ignore = "needs the cluster"]
fn a_failure_tells_what_happened_without_secrets() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("story");
    let secret = canary();
    namespace.secret("app", &json!({"password": secret}));
    let pod = namespace.pod(
        "app",
        &json!({"containers": [{
            "name": "app",
            "image": SHELL,
            "command": ["sh", "-c", "echo \"it is $PASSWORD\""],
            "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "app", "key": "password"}}}],
        }]}),
    );
    assert_eq!(pod.ended().code, 0);
    let story = namespace.story();
    assert_no_canary(&[("the story", &story)], &[&secret]);
    for part in ["Scheduled", "it is [REDACTED]", "Image:", "app:"] {
        assert!(story.contains(part), "{part}: {story}");
    }
}
