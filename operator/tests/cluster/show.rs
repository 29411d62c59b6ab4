//! What `kubectl get secretbundles` tells at a glance.

use serde_json::json;

use crate::bed::{Operator, bundle, cluster, team, until};

#[test]
#[ignore = "needs the cluster"]
fn a_list_of_bundles_tells_what_is_in_sync_and_why_not() {
    let team = team("show", &json!({"password": "hunter22"}));
    let _operator = Operator::install(&team, &[]);
    bundle(&team, "good", &json!({"refresh": "5m"}), &json!({}));
    let path = format!("secret/data/{}/absent", team.name());
    let absent = json!({"entries": [{"name": "a", "path": path, "key": "a"}]});
    bundle(&team, "wrong", &absent, &json!({}));
    until(&team, "good", "Synced");
    until(&team, "wrong", "PathNotFound");
    let list = |more: &[&str]| {
        let words = [&["get", "secretbundles", "--namespace", team.name()], more].concat();
        let output = cluster().kubectl(&words);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = list(&[]);
    println!("{table}");
    let cells = |line: usize| -> Vec<String> {
        let line = table.lines().nth(line).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(
        cells(0),
        [
            "NAME", "SYNCED", "SINCE", "REFRESH", "LEASE", "REASON", "AGE"
        ]
    );
    // A bundle without a lease has no cell in its column.
    let (good, wrong) = (cells(1), cells(2));
    assert_eq!(
        [&good[0], &good[1], &good[3], &good[4]],
        ["good", "True", "5m", "Synced"]
    );
    assert_eq!(
        [&wrong[0], &wrong[1], &wrong[3], &wrong[4]],
        ["wrong", "False", "24h", "PathNotFound"]
    );
    let wide = list(&["--output", "wide"]);
    assert!(wide.contains(&path), "the message names the path: {wide}");
}
