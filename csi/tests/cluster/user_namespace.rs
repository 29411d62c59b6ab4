//! A pod with user ids of its own (`hostUsers: false`), for which the container runtime maps the owners of files.

use serde_json::json;

use crate::bed::{SHELL, bundle, cluster, volume};

#[test]
#[ignore = "needs the cluster"]
fn files_belong_to_the_group_of_a_pod_with_user_ids_of_its_own() {
    let cluster = cluster();
    let namespace = cluster.namespace("userns");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({}),
    );
    // The second line says that ids are really mapped: those of the node begin at 0 and are all there.
    let script = "stat -Lc '%u:%g %a' /mnt/secrets/password; \
        read -r inside outside _ </proc/self/uid_map; [ \"$inside\" = 0 ] && [ \"$outside\" != 0 ] && echo mapped; \
        cat /mnt/secrets/password";
    let pod = namespace.pod(
        "app",
        &json!({
            "hostUsers": false,
            "containers": [{
                "name": "app",
                "image": SHELL,
                "command": ["sh", "-c", script],
                "volumeMounts": [{"name": "secrets", "mountPath": "/mnt/secrets", "readOnly": true}],
            }],
            "volumes": [volume("secrets", &json!({"bundle": "app"}))],
        }),
    );
    let ended = pod.ended();
    let log = String::from_utf8(pod.log("")).unwrap();
    assert_eq!(ended.code, 0, "{log}");
    assert_eq!(log, "0:65532 440\nmapped\nhunter22");
}
