//! The operator with rights in every namespace, and what is left when it is uninstalled.

use std::thread::sleep;

use serde_json::{Value, json};

use crate::bed::{Operator, QUIET, bundle, cluster, content, get, team, until};
use crate::rights::{are_refused, misuses};

#[test]
#[ignore = "needs the cluster"]
fn every_namespace_is_served_and_policies_still_hold() {
    let teams = [("one", "first"), ("two", "second")]
        .map(|(hint, value)| team(hint, &json!({"password": value})));
    let operator = Operator::install_as("everywhere", &["operator.allNamespaces=true"]);
    for team in &teams {
        bundle(team, "app", &json!({}), &json!({}));
    }
    for (team, value) in teams.iter().zip(["first", "second"]) {
        until(team, "app", "Synced");
        assert_eq!(content(team, "app"), json!({"password": value}));
    }
    are_refused(&operator.token(), misuses(&teams[0]));
}

#[test]
#[ignore = "needs the cluster"]
fn uninstalling_the_chart_deletes_no_secret_and_no_bundle() {
    let team = team("uninstall", &json!({"password": "hunter22"}));
    let operator = Operator::install(&team, &["operator.crds=true"]);
    bundle(&team, "kept", &json!({}), &json!({}));
    bundle(&team, "owned", &json!({}), &json!({"onDelete": "Delete"}));
    for name in ["kept", "owned"] {
        until(&team, name, "Synced");
    }
    operator.uninstall();
    sleep(QUIET);
    for name in ["kept", "owned"] {
        assert_eq!(
            content(&team, name),
            json!({"password": "hunter22"}),
            "{name}"
        );
        assert_ne!(get(&team, "secretbundles", name), Value::Null, "{name}");
    }
    let left = cluster().kubectl(&[
        "get",
        "clusterroles,clusterrolebindings,roles,rolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,serviceaccounts",
        "--all-namespaces",
        "--output",
        "name",
        "--selector",
        &format!("app.kubernetes.io/instance={}", team.name()),
    ]);
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "{left:?}");
}
