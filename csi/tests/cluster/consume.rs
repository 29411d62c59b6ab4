//! Files of a volume become variables: plugin and launcher together, in an image without a shell and without a network.

use serde_json::json;

use crate::bed::{APP_WITH_LAUNCHER, bundle, cluster, volume};

#[test]
#[ignore = "needs the cluster"]
fn the_launcher_gives_the_files_of_a_volume_to_its_program() {
    let cluster = cluster();
    let namespace = cluster.namespace("consume");
    namespace.put(
        cluster.vault(),
        "db",
        &json!({"user": "app", "password": "hunter22"}),
    );
    let entries = [("db-user", "db#user"), ("db-password", "db#password")];
    bundle(&namespace, "app", &entries, &json!({}));
    let command = [
        "/usr/local/bin/envlatch",
        "run",
        "--dir",
        "/mnt/secrets",
        "--names",
        "upper",
        "--",
        "/app",
        "report",
    ];
    let pod = namespace.pod(
        "app",
        &json!({
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "app",
                "image": APP_WITH_LAUNCHER,
                "command": command,
                "volumeMounts": [{"name": "secrets", "mountPath": "/mnt/secrets", "readOnly": true}],
            }],
            "volumes": [volume("secrets", &json!({"bundle": "app"}))],
        }),
    );
    let ended = pod.ended();
    assert_eq!(ended.code, 0, "{ended:?}");
    let report = pod.report();
    assert_eq!(report.env("DB_USER").unwrap(), "app");
    assert_eq!(report.env("DB_PASSWORD").unwrap(), "hunter22");
}
