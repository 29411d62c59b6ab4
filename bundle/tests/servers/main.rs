//! Bundles from a real Vault for pods of a real Kubernetes API server: `scripts/test servers`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bed;
mod faults;
mod handover;
mod identities;
mod inputs;
mod leases;
mod limits;
mod revocation;

use std::time::Duration;

use envlatch_bundle::{Code, Fetched};
use envlatch_test_support::eventually;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use bed::{BUNDLES, Bed, files, mount};

pub(crate) const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn pods_of_one_service_account_share_a_login_and_reads() {
    let bed = Bed::new();
    bed.vault
        .put_kv2("app", &json!({"password": "one", "db": {"hosts": ["h0"]}}));
    bed.vault.put_kv1("app", &json!({"data": {"key": "whole"}}));
    bed.bundle(
        "app",
        &json!({"role": "app", "entries": [
        {"name": "password", "path": "secret/data/app", "key": "password"},
        {"name": "host", "path": "secret/data/app", "key": "/db/hosts/0"},
        {"name": "v1", "path": "kv/app", "allKeys": true, "prefix": "v1/"},
        {"name": "none", "path": "secret/data/none", "key": "k", "optional": true},
    ], "templates": [{"name": "url", "text": "db://${.password}@${.host}"}]}),
    );
    let bundles = bed.bundles().await;
    let volumes: Vec<_> = (0..20)
        .map(|n| bed.volume(&format!("pod-{n}"), ("bundle", "app")))
        .collect();
    let fetched = try_join_all(volumes.iter().map(|volume| mount(&bundles, volume)))
        .await
        .unwrap();
    let mounted: Vec<_> = fetched.into_iter().map(files).collect();
    for (files, _) in &mounted {
        let expected = [
            ("host", "h0"),
            ("password", "one"),
            ("url", "db://one@h0"),
            ("v1/data", r#"{"key":"whole"}"#),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(*files, expected.into());
    }
    // A slow server may be asked again, by few of the twenty.
    for (path, most) in [
        ("auth/kubernetes/login", 3),
        ("secret/data/app", 9),
        ("kv/app", 9),
    ] {
        let asked = bed.asked(path);
        assert!((1..=most).contains(&asked), "{path}: {asked}");
    }

    // A republish that is not due asks nobody.
    let before = bed.vault.audit().len();
    for (volume, (_, mounted)) in volumes.iter().zip(&mounted) {
        assert!(matches!(
            bundles.fetch(volume, Some(mounted)).await,
            Ok(Fetched::Unchanged)
        ));
    }
    assert_eq!(bed.vault.audit().len(), before);

    // The token lives until its last volume is gone.
    for volume in &volumes[1..] {
        bundles.forget(&volume.volume_id, None);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bed.asked("auth/token/revoke-self"), 0);
    bundles.forget(&volumes[0].volume_id, None);
    eventually("the shared token to be revoked", SOON, || {
        (bed.asked("auth/token/revoke-self") > 0).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn a_refresh_on_demand_brings_what_changed() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"password": "one"}));
    bed.bundle("app", &json!({"role": "app", "entries": [{"name": "password", "path": "secret/data/app", "key": "password"}]}));
    let bundles = bed.bundles().await;
    let volume = bed.volume("pod", ("bundle", "app"));
    let (_, mut mounted) = files(mount(&bundles, &volume).await.unwrap());
    bed.vault.put_kv2("app", &json!({"password": "two"}));
    let refresh = |at: &str| {
        let patch = json!({"metadata": {"annotations": {"envlatch.io/refresh-at": at}}});
        bed.kubernetes
            .api("PATCH", &format!("{BUNDLES}/app"), &patch);
    };
    refresh("1");
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the annotation was not noticed"
        );
        if let fetched @ Fetched::Files { .. } =
            bundles.fetch(&volume, Some(&mounted)).await.unwrap()
        {
            let (files, now) = files(fetched);
            assert_eq!(files["password"], "two");
            mounted = now;
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let reads = bed.asked("secret/data/app");
    assert!(matches!(
        bundles.fetch(&volume, Some(&mounted)).await,
        Ok(Fetched::Unchanged)
    ));
    assert_eq!(bed.asked("secret/data/app"), reads);

    // A volume that was tampered with gets its files again, whenever they are due.
    mounted.intact = false;
    let (files, _) = files(bundles.fetch(&volume, Some(&mounted)).await.unwrap());
    assert_eq!(files["password"], "two");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn roles_grants_and_audiences_decide() {
    let bed = Bed::new();
    bed.vault.put_kv2("app", &json!({"k": "v"}));
    bed.role("none", &json!({}));
    bed.role("wrong", &json!({"audience": "somebody-else"}));
    let address = json!([bed.vault.address()]);
    bed.store(
        "narrow",
        &json!({"addresses": address, "grants": [{"namespaces": ["team"], "roles": ["other"]}]}),
    );
    bed.store(
        "foreign",
        &json!({"addresses": address, "auth": {"audience": "unheard-of"}}),
    );
    let bundles = bed.bundles().await;
    for (index, (store, role, path, expected)) in [
        ("main", "app", "secret/data/app", None),
        ("main", "none", "secret/data/app", None),
        (
            "main",
            "wrong",
            "secret/data/app",
            Some((Code::PermissionDenied, "VaultPermissionDenied")),
        ),
        (
            "main",
            "absent",
            "secret/data/app",
            Some((Code::PermissionDenied, "VaultPermissionDenied")),
        ),
        (
            "main",
            "app",
            "cubbyhole/app",
            Some((Code::NotFound, "PathNotFound")),
        ),
        (
            "main",
            "app",
            "sys/policies/acl/app",
            Some((Code::PermissionDenied, "VaultPermissionDenied")),
        ),
        (
            "main",
            "app",
            "secret/data/absent",
            Some((Code::NotFound, "PathNotFound")),
        ),
        (
            "narrow",
            "app",
            "secret/data/app",
            Some((Code::PermissionDenied, "NotGranted")),
        ),
        (
            "foreign",
            "app",
            "secret/data/app",
            Some((Code::FailedPrecondition, "AudienceMissing")),
        ),
        (
            "absent",
            "app",
            "secret/data/app",
            Some((Code::NotFound, "StoreNotFound")),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("bundle-{index}");
        bed.bundle(&name, &json!({"store": store, "role": role, "entries": [{"name": "k", "path": path, "key": "k"}]}));
        let volume = bed.volume(&format!("pod-{index}"), ("bundle", &name));
        let outcome = mount(&bundles, &volume).await;
        let found = outcome
            .as_ref()
            .err()
            .map(|problem| (problem.code, problem.reason));
        assert_eq!(found, expected, "{store} {role} {path}: {outcome:?}");
        if let Err(problem) = outcome {
            let text = problem.to_string();
            assert!(text.contains(role) || text.contains(store), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn foreign_classes_mount_as_they_are() {
    let bed = Bed::new();
    bed.namespace();
    bed.vault
        .put_kv2("app", &json!({"password": "one", "file": "b25l"}));
    let class = json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": {"name": "app"},
        "spec": {"provider": "vault", "parameters": {
            "vaultAddress": bed.vault.address(), "roleName": "app",
            "objects": "- objectName: db/password\n  secretPath: secret/data/app\n  secretKey: password\n  filePermission: 0440\n",
        }},
    });
    bed.kubernetes.api(
        "POST",
        "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/team/secretproviderclasses",
        &class,
    );
    let import = json!({
        "apiVersion": "deckhouse.io/v1alpha1", "kind": "SecretsStoreImport",
        "metadata": {"name": "app"},
        "spec": {"type": "CSI", "role": "app", "files": [
            {"name": "file", "decodeBase64": true, "source": {"path": "secret/data/app", "key": "file"}},
        ]},
    });
    bed.kubernetes.api(
        "POST",
        "/apis/deckhouse.io/v1alpha1/namespaces/team/secretsstoreimports",
        &import,
    );
    let bundles = bed.bundles().await;
    let escaping = json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": {"name": "escaping"},
        "spec": {"provider": "vault", "parameters": {
            "roleName": "app", "objects": "- objectName: a/../b\n  secretPath: secret/data/app\n",
        }},
    });
    bed.kubernetes.api(
        "POST",
        "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/team/secretproviderclasses",
        &escaping,
    );
    let volume = bed.volume("pod-c", ("secretProviderClass", "escaping"));
    let problem = mount(&bundles, &volume).await.unwrap_err();
    assert_eq!(problem.code, Code::InvalidArgument);
    assert!(
        problem.message.contains("\"a/../b\" is not clean"),
        "{problem}"
    );
    assert_eq!(bed.asked("auth/kubernetes/login"), 0);
    let volume = bed.volume("pod-a", ("secretProviderClass", "app"));
    let (found, _) = files(mount(&bundles, &volume).await.unwrap());
    assert_eq!(found["db/password"], "one");
    let mut volume = bed.volume("pod-b", ("secretsStoreImport", "app"));
    volume.read_only = false;
    let (found, _) = files(mount(&bundles, &volume).await.unwrap());
    assert_eq!(found["file"], "one");
    let status = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/team/secretproviderclasspodstatuses/pod-a-team-app";
    let status = eventually("the pod status", SOON, || {
        let (code, status) = bed.kubernetes.send("GET", status, &Value::Null);
        (code == 200).then_some(status)
    });
    assert_eq!(
        status["status"]["objects"],
        json!([{"id": "db/password", "version": "1"}])
    );
    assert_eq!(status["metadata"]["ownerReferences"][0]["name"], "pod-a");
    assert_eq!(
        status["metadata"]["labels"]["internal.secrets-store.csi.k8s.io/node-name"],
        "node"
    );
}
