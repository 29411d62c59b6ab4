//! Many pods at once, and a namespace that wants more than its share.

use std::time::Instant;

use envlatch_test_support::{Vault, eventually};
use serde_json::json;

use crate::bed::{SOON, bundle, cluster, shell, volume};
use crate::outage::namespace_with_vault;

/// How often Vault was asked for what begins like this.
fn asked(vault: &Vault, begins: &str) -> usize {
    let audit = vault.audit();
    let paths = audit.iter().map(|(_, path)| path);
    paths.filter(|path| path.starts_with(begins)).count()
}

#[test]
#[ignore = "needs the cluster"]
fn forty_pods_of_one_account_cost_few_logins_and_reads() {
    let (namespace, vault) = namespace_with_vault(cluster(), "crowd");
    let paths: Vec<String> = (0..5).map(|index| format!("path{index}")).collect();
    for path in &paths {
        namespace.put(&vault, path, &json!({"value": path}));
    }
    let references: Vec<String> = paths.iter().map(|path| format!("{path}#value")).collect();
    let entries: Vec<(&str, &str)> = paths
        .iter()
        .map(String::as_str)
        .zip(references.iter().map(String::as_str))
        .collect();
    let more = json!({"store": namespace.name(), "refresh": "24h"});
    bundle(&namespace, "app", &entries, &more);
    let begin = Instant::now();
    let pods: Vec<_> = (0..40)
        .map(|index| {
            let script = "cat /mnt/secrets/path0 /mnt/secrets/path4; sleep 600";
            let volume = volume("secrets", &json!({"bundle": "app"}));
            shell(&namespace, &format!("app-{index}"), volume, script)
        })
        .collect();
    for pod in &pods {
        pod.runs();
    }
    let elapsed = begin.elapsed();
    let logins = asked(&vault, "auth/kubernetes/login");
    let reads = asked(&vault, &format!("secret/data/{}/", namespace.name()));
    // One read of each path may be shared for 10 seconds.
    let most = paths.len() * (1 + elapsed.as_secs() as usize / 10);
    println!(
        "40 pods after {:.1} s, {logins} logins, {reads} reads of 5 paths",
        elapsed.as_secs_f64()
    );
    assert!(reads <= most, "{reads} reads, at most {most} were expected");
    // One that is not answered in time is made again.
    assert!(logins <= 4, "{logins} logins of one account");
}

#[test]
#[ignore = "needs the cluster"]
fn a_namespace_that_used_up_its_memory_does_not_take_that_of_others() {
    let cluster = cluster();
    let (greedy, other) = (cluster.namespace("greedy"), cluster.namespace("other"));
    // A volume counts twice: 64 MiB hold no more than 10 of 3 MiB.
    let large = "x".repeat(600 << 10);
    let keys = ["a", "b", "c", "d", "e"];
    for key in keys {
        greedy.put(cluster.vault(), key, &json!({"value": large}));
    }
    let references = keys.map(|key| format!("{key}#value"));
    let entries: Vec<(&str, &str)> = keys
        .into_iter()
        .zip(references.iter().map(String::as_str))
        .collect();
    bundle(&greedy, "app", &entries, &json!({}));
    other.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    bundle(&other, "app", &[("password", "db#password")], &json!({}));
    let volume = || volume("secrets", &json!({"bundle": "app"}));
    let names: Vec<String> = (0..12).map(|index| format!("app-{index}")).collect();
    for name in &names {
        shell(&greedy, name, volume(), "sleep 600");
    }
    let refused = eventually("a pod is refused", SOON, || {
        greedy
            .events()
            .into_iter()
            .find(|event| event.contains("ResourceExhausted"))
    });
    assert!(
        refused.contains("MiB") || refused.contains("bytes"),
        "{refused}"
    );
    let pod = shell(&other, "app", volume(), "cat /mnt/secrets/password");
    assert_eq!(pod.ended().code, 0);
}
