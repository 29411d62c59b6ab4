//! The ways in which a pod can be somebody to the server.

use std::time::Duration;

use envlatch_bundle::Code;
use envlatch_test_support::eventually;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::SOON;
use crate::bed::{Bed, files, mount};
use crate::handover::Kept;

fn bed() -> Bed {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"password": "one"}));
    bed
}

fn bundle(store: &str, role: &str) -> Value {
    json!({"store": store, "role": role, "entries": [
        {"name": "password", "path": "secret/data/app", "key": "password"},
    ]})
}

/// The jwt method, which checks tokens by the API server's published keys.
fn jwt(bed: &Bed, store: &str, more: &Value) {
    let discovery = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "keys-are-public"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "system:service-account-issuer-discovery",
        },
        "subjects": [{
            "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated",
        }],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    bed.kubernetes.api("POST", bindings, &discovery);
    bed.vault
        .api("POST", "sys/auth/jwt", &json!({"type": "jwt"}));
    let keys = json!({
        "jwks_url": format!("{}/openid/v1/jwks", bed.kubernetes.address()),
        "jwks_ca_pem": bed.kubernetes.ca_pem(),
    });
    // It reads the keys at once, and the API server takes a moment to know of a binding.
    eventually("the keys are public", SOON, || {
        let (status, _) = bed.vault.try_api("POST", "auth/jwt/config", &keys);
        (200..300).contains(&status).then_some(())
    });
    let mut auth = json!({"method": "jwt", "mount": "jwt"});
    auth.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let address = json!([bed.vault.address()]);
    bed.store(store, &json!({"addresses": address, "auth": auth}));
}

fn jwt_role(bed: &Bed, name: &str, pod: &str) {
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"],
        "bound_subject": "system:serviceaccount:team:app",
        "bound_claims_type": "glob", "bound_claims": {"/kubernetes.io/pod/name": pod},
        "token_policies": ["app"],
    });
    bed.vault
        .api("POST", &format!("auth/jwt/role/{name}"), &role);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn a_jwt_role_decides_by_pod_so_no_login_is_shared() {
    let bed = bed();
    jwt(&bed, "jwt", &json!({}));
    jwt_role(&bed, "one", "one");
    bed.bundle("app", &bundle("jwt", "one"));
    let bundles = bed.bundles().await;
    let (one, other) = (
        bed.volume("one", ("bundle", "app")),
        bed.volume("other", ("bundle", "app")),
    );
    let (found, _) = files(mount(&bundles, &one).await.unwrap());
    assert_eq!(found["password"], "one");
    // It has the same account, and must not get in on the other's login.
    let problem = mount(&bundles, &other).await.unwrap_err();
    assert_eq!(
        (problem.code, problem.reason),
        (Code::PermissionDenied, "VaultPermissionDenied"),
        "{problem}"
    );
    bundles.forget(&one.volume_id, None);
    eventually("its token is revoked", SOON, || {
        (bed.asked("auth/token/revoke-self") > 0).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn a_store_says_whether_logins_are_shared() {
    let bed = bed();
    jwt(&bed, "jwt-shared", &json!({"logins": "Shared"}));
    jwt_role(&bed, "any", "*");
    let address = json!([bed.vault.address()]);
    let alone = json!({"addresses": address, "auth": {"logins": "PerPod"}});
    bed.store("audited", &alone);
    let bundles = bed.bundles().await;
    for (store, role, login, shared) in [
        ("jwt-shared", "any", "auth/jwt/login", true),
        ("audited", "app", "auth/kubernetes/login", false),
        ("main", "app", "auth/kubernetes/login", true),
    ] {
        bed.bundle(store, &bundle(store, role));
        let volumes: Vec<_> = (0..5)
            .map(|n| bed.volume(&format!("{store}-{n}"), ("bundle", store)))
            .collect();
        let before = bed.asked(login);
        try_join_all(volumes.iter().map(|volume| mount(&bundles, volume)))
            .await
            .unwrap();
        // One that is not answered in time is made again.
        let logins = bed.asked(login) - before;
        assert_eq!(logins < volumes.len(), shared, "{store}: {logins}");
        let revoked = bed.asked("auth/token/revoke-self");
        for volume in &volumes {
            bundles.forget(&volume.volume_id, None);
        }
        let tokens = if shared { 1 } else { volumes.len() };
        eventually("its tokens are revoked", SOON, || {
            (bed.asked("auth/token/revoke-self") >= revoked + tokens).then_some(())
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn a_certificate_is_replaced_before_it_expires() {
    const LIVES: Duration = Duration::from_secs(30);
    let bed = Bed::new();
    bed.vault
        .api("POST", "sys/mounts/pki", &json!({"type": "pki"}));
    let root = json!({"common_name": "test", "ttl": "24h", "key_type": "ec"});
    bed.vault.api("POST", "pki/root/generate/internal", &root);
    let role = json!({
        "allow_any_name": true, "ttl": format!("{}s", LIVES.as_secs()), "not_before_duration": "1s", "key_type": "ec",
    });
    bed.vault.api("POST", "pki/roles/web", &role);
    let entry = |name: &str, key: &str| {
        json!({"name": name, "path": "pki/issue/web", "key": key, "method": "write",
            "arguments": [{"name": "common_name", "value": "app.team.svc"}]})
    };
    let entries = [
        entry("tls.crt", "certificate"),
        entry("tls.key", "private_key"),
        entry("serial", "serial_number"),
    ];
    bed.bundle("web", &json!({"role": "app", "entries": entries}));
    let bundles = bed.bundles().await;
    let request = bed.volume("web", ("bundle", "web"));
    let begin = Instant::now();
    let volume = Kept::mount(&bundles, request).await;
    let first = volume.files();
    assert!(first["tls.crt"].starts_with("-----BEGIN CERTIFICATE"));
    let path = format!("pki/cert/{}", first["serial"]);
    let issued = bed.vault.api("GET", &path, &Value::Null);
    assert_eq!(
        issued["data"]["certificate"].as_str().unwrap().trim(),
        first["tls.crt"].trim(),
        "one certificate for three files"
    );
    let replaced = async {
        loop {
            bundles.due().await;
            volume.refresh(&bundles).await;
            if volume.files()["serial"] != first["serial"] {
                return begin.elapsed();
            }
        }
    };
    let after = tokio::time::timeout(LIVES, replaced).await;
    let after = after.expect("another certificate, while the first is valid");
    assert!(after > LIVES / 4, "{after:?}");
    let second = volume.files();
    assert_ne!(second["tls.key"], first["tls.key"]);
    volume.refresh(&bundles).await;
    assert_eq!(volume.files()["serial"], second["serial"]);
}
