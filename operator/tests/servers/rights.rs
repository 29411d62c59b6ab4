//! The operator with the rights that the chart gives it, and what these do not let its account do.

use envlatch_test_support::{chart, eventually, helm};
use serde_json::{Value, json};

use crate::bed::{BUNDLES, Bed, SECRETS, SOON, condition};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/envlatch/leases";
const STORES: &str = "/apis/envlatch.io/v1alpha1/vaultstores";

/// The chart's objects for namespace `team`, but for the Deployment.
fn install(bed: &Bed) {
    let chart = chart();
    let rendered = helm(&[
        "template",
        "e",
        &chart.display().to_string(),
        "--namespace",
        "envlatch",
        "--set",
        "operator.enabled=true,operator.crds=false,operator.namespaces[0].name=team,operator.namespaces[0].serviceAccounts[0]=app",
    ]);
    assert!(
        rendered.status.success(),
        "{}",
        String::from_utf8_lossy(&rendered.stderr)
    );
    let text = String::from_utf8(rendered.stdout).unwrap();
    for document in text
        .split("\n---\n")
        .filter(|document| document.contains("\nkind:"))
    {
        let object: Value = serde_saphyr::from_str(document).unwrap();
        let kind = object["kind"].as_str().unwrap();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let path = match kind {
            "ServiceAccount" => format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
            "ClusterRole" | "ClusterRoleBinding" => format!(
                "/apis/rbac.authorization.k8s.io/v1/{}s",
                kind.to_lowercase()
            ),
            "Role" | "RoleBinding" => format!(
                "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{}s",
                kind.to_lowercase()
            ),
            "ValidatingAdmissionPolicy" => {
                "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies".to_owned()
            }
            "ValidatingAdmissionPolicyBinding" => {
                "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings".to_owned()
            }
            _ => continue,
        };
        bed.kubernetes.api("POST", &path, &object);
    }
}

/// A token of the operator's own account. The API server hears of roles and policies a moment after it has taken them, and knows by then
/// what the account may do.
fn own_token(bed: &Bed) -> String {
    let request = json!({"spec": {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 3600}});
    let path = "/api/v1/namespaces/envlatch/serviceaccounts/e-operator/token";
    let answer = bed.kubernetes.api("POST", path, &request);
    let token = answer["status"]["token"].as_str().unwrap().to_owned();
    for path in [LEASES, STORES, SECRETS, BUNDLES] {
        eventually(&format!("its account to list {path}"), SOON, || {
            let (status, _) = bed.kubernetes.send_as(&token, "GET", path, &Value::Null);
            (status == 200).then_some(())
        });
    }
    let trial = format!("{SECRETS}?dryRun=All");
    let unlabelled = json!({"metadata": {"name": "x"}});
    eventually("the policies to hold", SOON, || {
        let (status, _) = bed.kubernetes.send_as(&token, "POST", &trial, &unlabelled);
        matches!(status, 403 | 422).then_some(())
    });
    token
}

#[test]
#[ignore = "needs Kubernetes, Vault and helm"]
fn the_charts_rights_are_enough_and_no_more() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    install(&bed);
    let token = own_token(&bed);
    bed.log_in(&token);
    let operator = bed.operator("a");
    let workload = json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "none"}]}},
        },
    });
    let deployments = "/apis/apps/v1/namespaces/team/deployments";
    bed.kubernetes.api("POST", deployments, &workload);
    bed.sync(
        "app",
        "app",
        &json!({}),
        &json!({"restart": [{"kind": "Deployment", "name": "web"}]}),
    );
    bed.until("app", "Synced");
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/app"), &Value::Null);
    bed.until_content("app", &json!({"key": "one"}));
    bed.vault.put_kv2("app", &json!({"key": "two"}));
    bed.patch(
        &format!("{BUNDLES}/app"),
        &json!({"metadata": {"annotations": {"envlatch.io/refresh-at": "1"}}}),
    );
    bed.until_content("app", &json!({"key": "two"}));
    eventually("the restart", SOON, || {
        let web = bed
            .kubernetes
            .api("GET", &format!("{deployments}/web"), &Value::Null);
        web["spec"]["template"]["metadata"]["annotations"]
            .is_object()
            .then_some(())
    });
    let log = String::from_utf8_lossy(&operator.log()).into_owned();
    assert!(
        !log.contains("denies") && !log.contains("orbidden"),
        "the chart gives too few rights: {log}"
    );

    let tokens = |account: &str| format!("/api/v1/namespaces/team/serviceaccounts/{account}/token");
    let of = |audience: &str, seconds: u32| json!({"spec": {"audiences": [audience], "expirationSeconds": seconds}});
    bed.kubernetes.api(
        "POST",
        "/api/v1/namespaces/team/serviceaccounts",
        &json!({"metadata": {"name": "admin"}}),
    );
    let labelled = |type_: &str| json!({"metadata": {"name": "x", "labels": {"envlatch.io/synced": "true"}, "annotations": {"kubernetes.io/service-account.name": "admin"}}, "type": type_});
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "evil"}]}}}});
    let annotation =
        json!({"spec": {"template": {"metadata": {"annotations": {"example.com/a": "b"}}}}});
    for (what, method, path, body) in [
        ("another account", "POST", tokens("admin"), of("vault", 600)),
        (
            "another audience",
            "POST",
            tokens("app"),
            of("https://kubernetes.default.svc", 600),
        ),
        ("a long life", "POST", tokens("app"), of("vault", 3600)),
        (
            "another namespace",
            "GET",
            "/api/v1/namespaces/kube-system/secrets".to_owned(),
            Value::Null,
        ),
        (
            "all Secrets",
            "GET",
            "/api/v1/secrets".to_owned(),
            Value::Null,
        ),
        (
            "no label",
            "POST",
            SECRETS.to_owned(),
            json!({"metadata": {"name": "x"}}),
        ),
        (
            "a token",
            "POST",
            SECRETS.to_owned(),
            labelled("kubernetes.io/service-account-token"),
        ),
        ("a delete", "DELETE", format!("{SECRETS}/app"), Value::Null),
        ("an image", "PATCH", format!("{deployments}/web"), image),
        (
            "an annotation",
            "PATCH",
            format!("{deployments}/web"),
            annotation,
        ),
        (
            "replicas",
            "PATCH",
            format!("{deployments}/web"),
            json!({"spec": {"replicas": 0}}),
        ),
        (
            "pods",
            "GET",
            "/api/v1/namespaces/team/pods".to_owned(),
            Value::Null,
        ),
        ("a bundle", "POST", BUNDLES.to_owned(), json!({})),
        (
            "a bundle's spec",
            "PATCH",
            format!("{BUNDLES}/app"),
            json!({"spec": {"role": "admin"}}),
        ),
        (
            "a bundle's label",
            "PATCH",
            format!("{BUNDLES}/app"),
            json!({"metadata": {"labels": {"a": "b"}}}),
        ),
        (
            "a bundle's annotation",
            "PATCH",
            format!("{BUNDLES}/app"),
            json!({"metadata": {"annotations": {"envlatch.io/refresh-at": "2"}}}),
        ),
        (
            "another's finalizer",
            "PATCH",
            format!("{BUNDLES}/app"),
            json!({"metadata": {"finalizers": ["example.com/a"]}}),
        ),
    ] {
        let (status, answer) = bed.kubernetes.send_as(&token, method, &path, &body);
        assert!(matches!(status, 403 | 422), "{what}: {status} {answer}");
    }
    let (status, answer) =
        bed.kubernetes
            .send_as(&token, "POST", &tokens("app"), &of("vault", 600));
    assert_eq!(status, 201, "{answer}");
    // What is left when the namespace is being deleted and its Role is gone.
    let role = "/apis/rbac.authorization.k8s.io/v1/namespaces/team/roles/e-operator";
    bed.kubernetes.api("DELETE", role, &Value::Null);
    eventually("the Role to be gone", SOON, || {
        let (status, _) = bed.kubernetes.send_as(&token, "GET", SECRETS, &Value::Null);
        (status == 403).then_some(())
    });
    for finalizers in [json!(["envlatch.io/leases"]), json!([])] {
        let patch = json!({"metadata": {"finalizers": finalizers}});
        eventually("its own finalizer to be let through", SOON, || {
            let (status, _) =
                bed.kubernetes
                    .send_as(&token, "PATCH", &format!("{BUNDLES}/app"), &patch);
            (status == 200).then_some(())
        });
    }
}

#[test]
#[ignore = "needs Kubernetes, Vault and helm"]
fn a_namespace_without_rights_keeps_no_other_waiting() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    install(&bed);
    bed.kubernetes.api(
        "POST",
        "/api/v1/namespaces",
        &json!({"metadata": {"name": "later"}}),
    );
    let bundle = json!({
        "apiVersion": "envlatch.io/v1alpha1", "kind": "SecretBundle", "metadata": {"name": "app"},
        "spec": {
            "role": "app", "entries": [{"name": "all", "path": "secret/data/app", "allKeys": true}],
            "sync": {"serviceAccount": "app", "secretName": "app"},
        },
    });
    let bundles = "/apis/envlatch.io/v1alpha1/namespaces/later/secretbundles";
    bed.kubernetes.api("POST", bundles, &bundle);
    bed.log_in(&own_token(&bed));
    let _operator = bed.operator_for("a", &["--namespaces", "team,later"]);
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");
    bed.until_content("app", &json!({"key": "one"}));
    let later = || {
        bed.kubernetes
            .api("GET", &format!("{bundles}/app"), &Value::Null)
    };
    assert_eq!(later()["status"], Value::Null);

    let subject = json!({"kind": "ServiceAccount", "name": "e-operator", "namespace": "envlatch"});
    let binding = json!({
        "metadata": {"name": "e-operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [subject],
    });
    bed.kubernetes.api(
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/later/rolebindings",
        &binding,
    );
    eventually("a turn of the other's", SOON, || {
        (condition(&later(), "Ready")["reason"] == "NotGranted").then_some(())
    });
}
