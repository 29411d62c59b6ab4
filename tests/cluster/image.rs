//! The launcher's image as a volume: nothing is copied and nothing is in the image of the program.

use envlatch_test_support::Cluster;
use serde_json::json;

use crate::{APP, ENVLATCH, launcher_mount, launcher_volume, password_from_vault};

#[test]
#[ignore = "needs the cluster"]
fn an_image_volume_brings_the_launcher() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("image");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    let pod = namespace.pod(
        "app",
        &json!({
            "containers": [{
                "name": "app",
                "image": APP,
                "command": [ENVLATCH, "run", "--"],
                "args": ["/app", "report"],
                "env": password_from_vault(&namespace),
                "volumeMounts": [launcher_mount()],
            }],
            "volumes": [launcher_volume()],
        }),
    );
    let ended = pod.ended();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(pod.report().env("DB_PASSWORD").unwrap(), "hunter22");
}
