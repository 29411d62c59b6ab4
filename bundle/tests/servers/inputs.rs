//! What a tenant may get wrong, or try: refused with a code, the field and the remedy, and mostly before a server is asked.

use std::time::SystemTime;

use envlatch_bundle::{Code, VolumeRequest};
use serde_json::{Value, json};

use crate::bed::{Bed, mount};

const CLASSES: &str = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/team/secretproviderclasses";

fn entry(more: &Value) -> Value {
    let mut entry = json!({"name": "k", "path": "secret/data/app"});
    entry
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"role": "app", "entries": [entry]})
}

fn class(bed: &Bed, name: &str, objects: &str, more: &Value) {
    let mut parameters = json!({"roleName": "app", "objects": objects});
    parameters
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let class = json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": {"name": name}, "spec": {"provider": "vault", "parameters": parameters},
    });
    bed.kubernetes.api("POST", CLASSES, &class);
}

type Change = fn(&mut VolumeRequest);

/// A volume of the bundle `good` with something wrong about itself.
const VOLUMES: [(&str, Change, Code, &str); 5] = [
    (
        "C04 not read-only",
        |volume| volume.read_only = false,
        Code::InvalidArgument,
        "set readOnly: true",
    ),
    (
        "C12 no token of the audience",
        |volume| volume.tokens.clear(),
        Code::FailedPrecondition,
        "audience vault",
    ),
    (
        "C12 an expired token",
        |volume| {
            let token = volume.tokens.get_mut("vault").unwrap();
            token.expires_at = SystemTime::UNIX_EPOCH;
        },
        Code::FailedPrecondition,
        "the audience vault has expired",
    ),
    (
        "C13 an address of the pod's",
        |volume| {
            let address = "https://attacker.example".to_owned();
            volume.attributes.insert("vaultAddress".to_owned(), address);
        },
        Code::InvalidArgument,
        "\"vaultAddress\" is not taken from a pod",
    ),
    (
        "C17 a hook for tests",
        |volume| {
            let mock = "mock_provider".to_owned();
            volume.attributes.insert("providerName".to_owned(), mock);
        },
        Code::InvalidArgument,
        "\"providerName\" is not taken from a pod",
    ),
];

/// SecretProviderClasses: their objects and parameters.
fn classes(address: &str) -> [(&'static str, &'static str, Value, Code, &'static str); 6] {
    const OBJECT: &str = "- {objectName: k, secretPath: secret/data/app, secretKey: k}";
    [
        (
            "c09",
            "- {objectName: k, secretPath: secret/data/app, filePermission: 04755}",
            json!({}),
            Code::InvalidArgument,
            "filePermission",
        ),
        (
            "c13-skip-verify",
            OBJECT,
            json!({"vaultAddress": address, "vaultSkipTLSVerify": "true"}),
            Code::PermissionDenied,
            "vaultSkipTLSVerify",
        ),
        (
            "c13-address",
            OBJECT,
            json!({"vaultAddress": "https://attacker.example"}),
            Code::PermissionDenied,
            "attacker.example",
        ),
        (
            "c14",
            "- {objectName: k, secretPath: secret/data/app, secretKy: k}",
            json!({}),
            Code::InvalidArgument,
            "secretKy",
        ),
        (
            "c15",
            "- {objectName: k, secretPath: secret/data/%2e%2e/app, secretKey: k}",
            json!({}),
            Code::InvalidArgument,
            "secretPath",
        ),
        (
            "c16",
            "- {objectName: k, secretPath: secret/data/app, secretKey: k, method: PUT}",
            json!({}),
            Code::PermissionDenied,
            "spec.allow.writes",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kubernetes and Vault"]
async fn what_a_tenant_gets_wrong_is_named() {
    let bed = Bed::new();
    bed.vault
        .put_kv2("app", &json!({"k": "c2VjcmV0*not*base64"}));
    bed.bundle("good", &entry(&json!({"key": "k"})));
    let bundles = bed.bundles().await;
    let refused = async |id: &str, volume: &VolumeRequest, code: Code, text: &str| {
        let problem = mount(&bundles, volume).await.expect_err(id);
        assert_eq!(problem.code, code, "{id}: {problem}");
        assert!(problem.message.contains(text), "{id}: {problem}");
        assert!(!problem.message.contains("c2VjcmV0"), "{id}: {problem}");
    };
    let good = bed.volume("pod", ("bundle", "good"));
    for (id, change, code, text) in VOLUMES {
        let mut volume = good.clone();
        change(&mut volume);
        refused(id, &volume, code, text).await;
    }
    for (id, objects, parameters, code, text) in classes(bed.vault.address()) {
        class(&bed, id, objects, &parameters);
        let mut volume = good.clone();
        volume.volume_id = format!("csi-{id}");
        volume.attributes = [("secretProviderClass".to_owned(), id.to_owned())].into();
        refused(id, &volume, code, text).await;
    }
    assert_eq!(bed.asked("auth/kubernetes/login"), 0, "nobody was asked");

    for encoding in ["base64", "hex"] {
        let name = format!("c20-{encoding}");
        bed.bundle(&name, &entry(&json!({"key": "k", "encoding": encoding})));
        let mut volume = good.clone();
        volume.volume_id = format!("csi-{name}");
        volume.attributes = [("bundle".to_owned(), name.clone())].into();
        refused(&name, &volume, Code::InvalidArgument, "k").await;
    }
}
