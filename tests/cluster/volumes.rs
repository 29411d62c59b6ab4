//! Volumes that kubelet itself fills, in an image without a shell: what `--dir` reads is laid out by the real thing.

use envlatch_test_support::Cluster;
use serde_json::json;

use crate::APP_WITH_LAUNCHER;

#[test]
#[ignore = "needs the cluster"]
fn files_of_secret_and_projected_volumes_become_variables() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("volumes");
    namespace.secret(
        "db",
        &json!({"db-user": "app", "db-password": "hunter22\n"}),
    );
    let command = [
        "/usr/local/bin/envlatch",
        "run",
        "--dir",
        "/mnt/secret",
        "--dir",
        "/mnt/projected",
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
                "volumeMounts": [
                    {"name": "secret", "mountPath": "/mnt/secret", "readOnly": true},
                    {"name": "projected", "mountPath": "/mnt/projected", "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": "secret", "secret": {"secretName": "db", "defaultMode": 0o440}},
                {"name": "projected", "projected": {"sources": [
                    {"secret": {"name": "db", "items": [{"key": "db-user", "path": "deep/er/user"}]}},
                ]}},
            ],
        }),
    );
    let ended = pod.ended();
    assert_eq!(ended.code, 0, "{ended:?}");
    let report = pod.report();
    assert_eq!(report.env("DB_PASSWORD").unwrap(), "hunter22");
    assert_eq!(report.env("DB_USER").unwrap(), "app");
    assert_eq!(report.env("DEEP_ER_USER").unwrap(), "app");
}
