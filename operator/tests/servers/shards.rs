//! Several replicas that share the work out: each bundle is worked on by one of them, and by another one when that dies.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use envlatch_test_support::eventually;
use serde_json::{Value, json};

use crate::bed::{Bed, LEASE, SECRETS, SOON};
use crate::leases::{bundle, database, username};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/envlatch/leases";
const BUNDLES: usize = 30;

/// How many shards each replica holds.
fn shares(bed: &Bed) -> BTreeMap<String, usize> {
    let leases = bed.kubernetes.api("GET", LEASES, &Value::Null);
    let mut shares = BTreeMap::new();
    for lease in leases["items"].as_array().unwrap() {
        if let Some(holder) = lease["spec"]["holderIdentity"].as_str() {
            *shares.entry(holder.to_owned()).or_default() += 1;
        }
    }
    shares
}

#[track_caller]
fn until_shared(bed: &Bed, expected: &[(&str, usize)]) {
    let expected = expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect();
    eventually(&format!("shares of {expected:?}"), SOON, || {
        (shares(bed) == expected).then_some(())
    });
}

#[test]
#[ignore = "needs Kubernetes, Vault and PostgreSQL"]
fn replicas_share_the_work_and_take_over_that_of_a_dead_one() {
    let bed = Bed::new();
    let _postgres = database(&bed, "10m", "1h");
    let replica = |name: &str| bed.operator_with(name, &["--shards", "6"]);
    let first = replica("a");
    for n in 0..BUNDLES {
        bed.vault
            .put_kv2(&format!("app-{n}"), &json!({"key": "one"}));
        let entries =
            json!([{"name": "key", "path": format!("secret/data/app-{n}"), "key": "key"}]);
        let spec = json!({"entries": entries, "refresh": "720h"});
        bed.sync(&format!("app-{n}"), &format!("app-{n}"), &spec, &json!({}));
    }
    bundle(&bed, "db");
    for n in 0..BUNDLES {
        bed.until(&format!("app-{n}"), "Synced");
    }
    bed.until("db", "Synced");
    let credential = username(&bed, "db");

    // Those that come later get their part, and nobody notices.
    let (second, third) = (replica("b"), replica("c"));
    until_shared(&bed, &[("a", 2), ("b", 2), ("c", 2)]);
    sleep(Duration::from_secs(3));
    assert_eq!(shares(&bed).len(), 3);
    // What a busy server did not answer in time is asked for again; two that work on one shard ask for more.
    let were_read = |times: usize| {
        let reads = (0..BUNDLES).map(|n| bed.asked(&format!("secret/data/app-{n}")));
        let reads: Vec<usize> = reads.collect();
        assert!(reads.iter().all(|one| *one >= times), "{reads:?}");
        assert!(
            reads.iter().sum::<usize>() <= times * BUNDLES + 3,
            "{reads:?}"
        );
    };
    were_read(1);
    for one in [&first, &second, &third] {
        one.until_leading();
    }

    // What is asked for is done by one of them, once.
    let change = |value: &str| {
        for n in 0..BUNDLES {
            bed.vault
                .put_kv2(&format!("app-{n}"), &json!({"key": value}));
            bed.refresh(&format!("app-{n}"), value);
        }
        for n in 0..BUNDLES {
            bed.until_content(&format!("app-{n}"), &json!({"key": value}));
        }
    };
    change("two");
    were_read(2);

    second.kill();
    change("three");
    were_read(3);
    until_shared(&bed, &[("a", 3), ("c", 3)]);
    for n in 0..BUNDLES {
        bed.kubernetes
            .api("DELETE", &format!("{SECRETS}/app-{n}"), &Value::Null);
    }
    for n in 0..BUNDLES {
        bed.until_content(&format!("app-{n}"), &json!({"key": "three"}));
    }
    // A credential was passed on with its shard, however often that was.
    assert_eq!(username(&bed, "db"), credential);
    assert_eq!(bed.asked("database/creds/app"), 1);
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn replicas_that_count_otherwise_do_not_work_at_the_same_time() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let first = bed.operator("one");
    first.until_leading();
    let second = bed.operator_with("three", &["--shards", "3"]);
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");
    sleep(LEASE + Duration::from_secs(1));
    assert_eq!(shares(&bed), BTreeMap::from([("one".to_owned(), 1)]));
    first.kill();
    until_shared(&bed, &[("three", 3)]);
    second.until_leading();
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/app"), &Value::Null);
    bed.until_content("app", &json!({"key": "one"}));
}
