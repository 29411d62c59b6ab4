//! The audience of the token that the plugin presents, against roles that ask for one.

use serde_json::{Value, json};

use crate::bed::{STORE, bundle, cluster, shell, store_of, volume, warned};

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
    // Another server, because the stores of one would not be told apart by its address.
    let vault = cluster.new_vault();
    namespace.put(&vault, "db", &json!({"password": "hunter22"}));
    namespace.role(&vault, &json!({"audience": "somebody-else"}));
    let store = |spec: &Value| store_of(cluster, namespace.name(), &vault, spec);
    store(&json!({}));
    let more = json!({"store": namespace.name()});
    bundle(&namespace, "app", &[("password", "db#password")], &more);
    let script = "cat /mnt/secrets/password";
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        script,
    );
    warned(
        &namespace,
        "app",
        &["PermissionDenied", "auth/kubernetes/login"],
    );
    // With the audience that the role wants, the same pod starts.
    store(&json!({"auth": {"audience": "somebody-else"}}));
    assert_eq!(pod.ended().code, 0);
}

#[test]
#[ignore = "needs the cluster"]
fn an_audience_that_kubelet_passes_no_token_for_is_named_with_the_charts_value() {
    let cluster = cluster();
    let namespace = cluster.namespace("audience");
    // Another server, because the stores of one would not be told apart by its address.
    let vault = cluster.new_vault();
    namespace.put(&vault, "db", &json!({"password": "hunter22"}));
    let audience = json!({"auth": {"audience": "not-in-the-chart"}});
    store_of(cluster, namespace.name(), &vault, &audience);
    let more = json!({"store": namespace.name()});
    bundle(&namespace, "app", &[("password", "db#password")], &more);
    shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        "exit 0",
    );
    warned(&namespace, "app", &["not-in-the-chart", "tokenAudiences"]);
}
