//! The audience of the token that the plugin presents, against roles that ask for one.

use serde_json::json;

use crate::bed::{STORE, bundle, cluster, shell, store, volume};

#[test]
#[ignore = "needs the cluster"]
fn roles_with_no_audience_and_with_the_right_one_let_the_pod_in() {
    let cluster = cluster();
    for audience in [None, Some("vault")] {
        let namespace = cluster.namespace("audience");
        namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
        if let Some(audience) = audience {
            namespace.role(cluster.vault(), &json!({"audience": audience}));
        }
        bundle(
            &namespace,
            "app",
            &[("password", "db#password")],
            &json!({"store": STORE}),
        );
        let volume = volume("secrets", &json!({"bundle": "app"}));
        let pod = shell(&namespace, "app", volume, "cat /mnt/secrets/password");
        assert_eq!(pod.ended().code, 0, "{audience:?}");
    }
}

#[test]
#[ignore = "needs the cluster"]
fn a_role_with_another_audience_keeps_the_pod_out_and_says_so() {
    let cluster = cluster();
    let namespace = cluster.namespace("audience");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    namespace.role(cluster.vault(), &json!({"audience": "somebody-else"}));
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({}),
    );
    let script = "cat /mnt/secrets/password";
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        script,
    );
    crate::bed::warned(
        &namespace,
        "app",
        &["PermissionDenied", "auth/kubernetes/login"],
    );
    // With the audience that the role wants, the same pod starts.
    store(
        cluster,
        "else",
        &json!({"auth": {"audience": "somebody-else"}}),
    );
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({"store": "else"}),
    );
    assert_eq!(pod.ended().code, 0);
}

#[test]
#[ignore = "needs the cluster"]
fn an_audience_that_kubelet_passes_no_token_for_is_named_with_the_charts_value() {
    let cluster = cluster();
    let namespace = cluster.namespace("audience");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    store(
        cluster,
        "unknown",
        &json!({"auth": {"audience": "not-in-the-chart"}}),
    );
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({"store": "unknown"}),
    );
    shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        "exit 0",
    );
    crate::bed::warned(&namespace, "app", &["not-in-the-chart", "tokenAudiences"]);
}
