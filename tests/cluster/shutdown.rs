//! The end of a pod: the program is process 1 and gets SIGTERM itself, at once.

use std::time::{Duration, Instant};

use envlatch_test_support::Cluster;
use serde_json::json;

use crate::{
    APP_WITH_LAUNCHER, ENVLATCH, SHELL, launcher_mount, launcher_volume, password_from_vault,
    variable,
};

/// Longer than any test waits: what ends before was not killed for being late.
const GRACE: Duration = Duration::from_secs(600);

#[test]
#[ignore = "needs the cluster"]
fn the_program_gets_sigterm_when_its_pod_is_deleted() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("shutdown");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    let script = "trap 'echo got TERM; exit 0' TERM; echo \"ready ${#DB_PASSWORD}\"; while :; do sleep 0.05; done";
    let pod = namespace.pod(
        "app",
        &json!({
            "containers": [{
                "name": "app",
                "image": SHELL,
                "command": [ENVLATCH, "run", "--"],
                "args": ["sh", "-c", script],
                "env": password_from_vault(&namespace),
                "volumeMounts": [launcher_mount()],
            }],
            "volumes": [launcher_volume()],
        }),
    );
    pod.says("ready 8");
    let asked = Instant::now();
    pod.delete(GRACE);
    pod.is_gone();
    println!(
        "a pod is gone {} ms after its deletion",
        asked.elapsed().as_millis()
    );
}

/// While it waits for a server, the launcher is process 1, for which the kernel drops signals without a handler.
#[test]
#[ignore = "needs the cluster"]
fn a_launcher_that_waits_for_its_server_ends_when_its_pod_is_deleted() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("waiting");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    let mut variables = password_from_vault(&namespace);
    // Nobody listens there.
    variables.push(variable("ENVLATCH_ADDR", "https://10.99.0.1:9"));
    variables.push(variable("ENVLATCH_TIMEOUT", "1h"));
    variables.push(variable("ENVLATCH_LOG_LEVEL", "debug"));
    let pod = namespace.pod(
        "app",
        &json!({"containers": [{"name": "app", "image": APP_WITH_LAUNCHER, "env": variables}]}),
    );
    pod.runs();
    pod.delete(GRACE);
    pod.is_gone();
}
