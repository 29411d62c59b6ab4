//! Servers that are sealed, away, or say no; replicas that die.

use std::thread::sleep;
use std::time::Duration;

use envlatch_test_support::eventually;
use serde_json::{Value, json};

use crate::bed::{BUNDLES, Bed, SECRETS, SOON, condition};

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_sealed_server_leaves_the_secret_and_is_not_asked_by_everybody() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    bed.vault.put_kv2("other", &json!({"key": "one"}));
    // What was read a moment ago would do for somebody new.
    let other = json!({"entries": [{"name": "key", "path": "secret/data/other", "key": "key"}]});
    let _operator = bed.operator("a");
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");
    bed.vault.seal();
    for n in 0..20 {
        bed.sync(&format!("new-{n}"), &format!("new-{n}"), &other, &json!({}));
    }
    bed.patch(
        &format!("{BUNDLES}/app"),
        &json!({"metadata": {"annotations": {"envlatch.io/refresh-at": "1"}}}),
    );
    let sealed = bed.until("app", "VaultSealed");
    assert_eq!(
        condition(&sealed, "Synced")["status"],
        "True",
        "what the server had is still there"
    );
    assert_eq!(bed.content("app").unwrap(), json!({"key": "one"}));
    bed.until("new-7", "VaultSealed");

    // What somebody removes meanwhile cannot be restored, and the status says so.
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/app"), &Value::Null);
    eventually("the bundle to be out of sync", SOON, || {
        let bundle = bed.until("app", "VaultSealed");
        (condition(&bundle, "Synced")["status"] == "False").then_some(())
    });
    bed.vault.unseal();
    bed.until_content("app", &json!({"key": "one"}));
    for n in 0..20 {
        bed.until(&format!("new-{n}"), "Synced");
    }
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_denial_a_missing_path_and_an_empty_secret_leave_the_secret_as_it_is() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let _operator = bed.operator("a");
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");
    let refresh = |value: &str| {
        bed.patch(
            &format!("{BUNDLES}/app"),
            &json!({"metadata": {"annotations": {"envlatch.io/refresh-at": value}}}),
        );
    };
    let kept = || assert_eq!(bed.content("app").unwrap(), json!({"key": "one"}));

    bed.vault
        .policy("app", "path \"kv/*\" { capabilities = [\"read\"] }");
    refresh("1");
    bed.until("app", "VaultPermissionDenied");
    kept();
    bed.vault.policy(
        "app",
        "path \"secret/data/*\" { capabilities = [\"read\"] }",
    );
    bed.vault.api("DELETE", "secret/metadata/app", &Value::Null);
    refresh("2");
    bed.until("app", "PathNotFound");
    kept();
    bed.vault.put_kv2("app", &json!({}));
    refresh("3");
    bed.until("app", "Empty");
    kept();
    bed.patch(
        &format!("{BUNDLES}/app"),
        &json!({"spec": {"sync": {"allowEmpty": true}}}),
    );
    bed.until("app", "Synced");
    bed.until_content("app", &json!({}));
    for reason in ["Synced", "VaultPermissionDenied", "PathNotFound", "Empty"] {
        bed.until_event("app", reason);
    }
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn what_the_store_does_not_grant_is_refused() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let _operator = bed.operator("a");
    bed.sync(
        "account",
        "account",
        &json!({}),
        &json!({"serviceAccount": "nobody"}),
    );
    bed.until("account", "TokenRefused");
    bed.sync("store", "store", &json!({"store": "other"}), &json!({}));
    bed.until("store", "StoreNotFound");
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");
    // The administrator changes his mind; whoever waited for the store hears of it.
    let store = "/apis/envlatch.io/v1alpha1/vaultstores/main";
    bed.patch(
        store,
        &json!({"spec": {"grants": [{"namespaces": ["other"], "roles": ["*"]}]}}),
    );
    bed.until("app", "NotGranted");
    assert_eq!(bed.content("app").unwrap(), json!({"key": "one"}));
    bed.patch(
        store,
        &json!({"spec": {"grants": [{"namespaces": ["te*"], "roles": ["app"]}]}}),
    );
    bed.until("app", "Synced");
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn another_replica_takes_over_and_a_replica_that_lost_its_lease_ends() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let first = bed.operator("a");
    first.until_leading();
    let mut second = bed.operator("b");
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");
    assert!(!String::from_utf8_lossy(&second.log()).contains("leading shard"));
    first.kill();
    second.until_leading();
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/app"), &Value::Null);
    bed.until_content("app", &json!({"key": "one"}));

    // The API server does not answer for longer than the Lease lasts.
    bed.kubernetes.freeze();
    eventually("the replica to end", SOON, || {
        second.has_ended().then_some(())
    });
    bed.kubernetes.thaw();
    let third = bed.operator("b");
    third.until_leading();
    bed.kubernetes
        .api("DELETE", &format!("{SECRETS}/app"), &Value::Null);
    bed.until_content("app", &json!({"key": "one"}));
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_short_silence_of_the_api_server_is_survived() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    let mut operator = bed.operator_with("a", &["--lease-duration", "45s"]);
    bed.sync("app", "app", &json!({}), &json!({}));
    bed.until("app", "Synced");
    bed.kubernetes.freeze();
    // Longer than a sixth of the Lease's time, after which it is renewed.
    sleep(Duration::from_secs(8));
    bed.kubernetes.thaw();
    bed.patch(&format!("{SECRETS}/app"), &json!({"data": {"key": "YmFk"}}));
    bed.until_content("app", &json!({"key": "one"}));
    assert!(!operator.has_ended());
}

#[test]
#[ignore = "needs Kubernetes and Vault"]
fn a_replica_that_dies_anywhere_in_a_turn_is_continued() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"key": "one"}));
    for round in 0..6 {
        let name = format!("app-{round}");
        bed.sync(&name, &name, &json!({}), &json!({}));
        let operator = bed.operator("a");
        operator.until_leading();
        sleep(Duration::from_millis(40 * round));
        operator.kill();
    }
    let _operator = bed.operator("a");
    for round in 0..6 {
        bed.until(&format!("app-{round}"), "Synced");
        bed.until_content(&format!("app-{round}"), &json!({"key": "one"}));
    }
}
