//! A program behind the launcher, which logs in as the pod's service account and reads Vault over TLS.

use envlatch_test_support::{Cluster, restricted};
use serde_json::json;

use crate::{APP_WITH_LAUNCHER, password_from_vault, variable};

#[test]
#[ignore = "needs the cluster"]
fn a_program_gets_what_its_service_account_may_read() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("login");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    let pod = namespace.pod(
        "app",
        &json!({"containers": [{
            "name": "app", "image": APP_WITH_LAUNCHER, "env": password_from_vault(&namespace),
        }]}),
    );
    assert_eq!(pod.ended().code, 0);
    let report = pod.report();
    assert_eq!(report.env("DB_PASSWORD").unwrap(), "hunter22");
    assert_eq!(report.env("VAULT_ROLE"), None, "settings are removed");
    assert_eq!((report.pid, report.uid), (1, 65532));
}

/// A token for Vault's audience, where the role asks for one.
#[test]
#[ignore = "needs the cluster"]
fn a_projected_token_has_the_audience_that_the_role_wants() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("audience");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    namespace.role(cluster.vault(), &json!({"audience": "vault"}));
    let pod = |name: &str, more: Option<(&str, &str)>| {
        let mut variables = password_from_vault(&namespace);
        variables.extend(more.map(|(name, value)| variable(name, value)));
        let pod = namespace.pod(
            name,
            &json!({
                "containers": [{
                    "name": "app",
                    "image": APP_WITH_LAUNCHER,
                    "env": variables,
                    "volumeMounts": [{"name": "token", "mountPath": "/var/run/vault"}],
                }],
                "volumes": [{"name": "token", "projected": {"sources": [
                    {"serviceAccountToken": {"audience": "vault", "path": "token"}},
                ]}}],
            }),
        );
        pod.ended()
    };
    let right = pod("right", Some(("ENVLATCH_JWT_FILE", "/var/run/vault/token")));
    assert_eq!(right.code, 0, "{right:?}");
    let wrong = pod("wrong", None);
    assert_eq!(wrong.code, 77, "{wrong:?}");
}

#[test]
#[ignore = "needs the cluster"]
fn a_wrong_role_is_told_in_the_termination_message() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("role");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    let mut variables = password_from_vault(&namespace);
    variables.push(variable("ENVLATCH_ROLE", "somebody-else"));
    let pod = namespace.pod(
        "app",
        &json!({"containers": [{"name": "app", "image": APP_WITH_LAUNCHER, "env": variables}]}),
    );
    let ended = pod.ended();
    assert_eq!(ended.code, 77, "{ended:?}");
    for part in ["DB_PASSWORD", "somebody-else", "auth/kubernetes/login"] {
        assert!(ended.message.contains(part), "{part}: {}", ended.message);
    }
    assert_eq!(
        ended.message.trim(),
        String::from_utf8(pod.log("")).unwrap().trim(),
        "the termination message is what the log says"
    );
}

/// The launcher has become the program, so a Job's result is the program's.
#[test]
#[ignore = "needs the cluster"]
fn a_job_ends_with_the_code_of_its_program() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("job");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    for (name, code, condition) in [("good", 0, "Complete"), ("bad", 42, "Failed")] {
        namespace.apply(json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {
                "backoffLimit": 0,
                "template": {"spec": restricted(&json!({"containers": [{
                    "name": "app",
                    "image": APP_WITH_LAUNCHER,
                    "args": ["exit", code.to_string()],
                    "env": password_from_vault(&namespace),
                }]}))},
            },
        }));
        let waited = cluster.kubectl(&[
            "wait",
            "--namespace",
            namespace.name(),
            &format!("--for=condition={condition}"),
            &format!("job/{name}"),
            "--timeout=120s",
        ]);
        assert!(waited.status.success(), "{waited:?}");
        let pods = namespace.pods(&format!("job-name={name}"));
        assert_eq!(namespace.existing_pod(&pods[0]).ended().code, code);
    }
}
