//! What the operator's own token can be used for when somebody else has it: in a listed namespace the least that it needs, elsewhere
//! nothing.

use std::time::Duration;

use envlatch_test_support::{Namespace, eventually};
use serde_json::{Value, json};

use crate::bed::{Operator, bundle, cluster, path, team, until};

/// How long the API server may take to notice a policy.
const NOTICED: Duration = Duration::from_secs(15);

/// Requests that the operator never makes.
pub(crate) fn misuses(team: &Namespace) -> Vec<(&'static str, &'static str, String, Value)> {
    let token = |account: &str| path(team, "serviceaccounts", &format!("{account}/token"));
    let of = |audience: &str, seconds: u32| json!({"spec": {"audiences": [audience], "expirationSeconds": seconds}});
    let secret = |labels: Value, type_: &str| {
        let metadata = json!({
            "name": "x",
            "labels": labels,
            "annotations": {"kubernetes.io/service-account.name": "default"},
        });
        json!({"metadata": metadata, "type": type_})
    };
    let ours = json!({"envlatch.io/synced": "true"});
    let secrets = path(team, "secrets", "");
    let secrets = secrets.trim_end_matches('/').to_owned();
    let audience = "https://kubernetes.default.svc.cluster.local";
    vec![
        (
            "a token for the API server",
            "POST",
            token("default"),
            of(audience, 600),
        ),
        (
            "a token that lives long",
            "POST",
            token("default"),
            of("vault", 3600),
        ),
        (
            "a Secret without the label",
            "POST",
            secrets.clone(),
            secret(json!({}), "Opaque"),
        ),
        (
            "a Secret that is a token",
            "POST",
            secrets,
            secret(ours, "kubernetes.io/service-account-token"),
        ),
        (
            "a delete",
            "DELETE",
            path(team, "secrets", "app"),
            Value::Null,
        ),
        ("the pods", "GET", path(team, "pods", ""), Value::Null),
    ]
}

/// Expects that each of them is refused, as soon as the API server has taken notice of policies that were installed a moment ago: it looks
/// for new ones once a second.
#[track_caller]
pub(crate) fn are_refused(token: &str, misuses: Vec<(&'static str, &'static str, String, Value)>) {
    for (what, method, path, body) in misuses {
        // The answer is not shown: one that was not refused can have a token in it.
        eventually(&format!("{what} to be refused"), NOTICED, || {
            let (status, _) = cluster().request_as(token, method, &path, &body);
            matches!(status, 403 | 422).then_some(())
        });
    }
}

#[test]
#[ignore = "needs the cluster"]
fn with_listed_namespaces_the_operators_token_reaches_no_other() {
    let team = team("rights", &json!({"password": "hunter22"}));
    let operator = Operator::install(&team, &[]);
    bundle(&team, "app", &json!({}), &json!({}));
    until(&team, "app", "Synced");
    let token = operator.token();
    team.apply(
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "admin"}}),
    );
    let mut misuses = misuses(&team);
    let request = json!({"spec": {"audiences": ["vault"], "expirationSeconds": 600}});
    misuses.extend([
        (
            "a token of another account",
            "POST",
            path(&team, "serviceaccounts", "admin/token"),
            request.clone(),
        ),
        (
            "the Secrets of all",
            "GET",
            "/api/v1/secrets".to_owned(),
            Value::Null,
        ),
        (
            "the Secrets of others",
            "GET",
            "/api/v1/namespaces/kube-system/secrets".to_owned(),
            Value::Null,
        ),
    ]);
    are_refused(&token, misuses);
    // It is the token: what the operator does itself is allowed.
    let own = path(&team, "serviceaccounts", "default/token");
    let (status, answer) = cluster().request_as(&token, "POST", &own, &request);
    assert_eq!(status, 201, "{answer}");
}
