//! Two replicas, of which the one that works is killed.

use serde_json::json;

use crate::bed::{Operator, bundle, cluster, team, until, until_content};

#[test]
#[ignore = "needs the cluster"]
fn another_replica_goes_on_when_the_one_that_works_is_killed() {
    let team = team("replicas", &json!({"password": "first"}));
    let operator = Operator::install(&team, &["operator.replicas=2"]);
    bundle(&team, "app", &json!({"refresh": "10s"}), &json!({}));
    until(&team, "app", "Synced");
    assert_eq!(operator.pods().len(), 2);
    let worker = operator.worker(&team);
    operator.kill(&worker);
    // Or kubelet starts it again under its name.
    let words = [
        "delete",
        "pod",
        "--grace-period=0",
        "--force",
        "--namespace",
    ];
    let deleted = cluster().kubectl(&[&words[..], &[operator.home(), &worker]].concat());
    assert!(deleted.status.success(), "{deleted:?}");
    team.put(cluster().vault(), "db", &json!({"password": "second"}));
    until_content(&team, "app", &json!({"password": "second"}));
    assert_ne!(operator.worker(&team), worker);
}
