//! The three ways to say what a volume holds: ours, that of the Secrets Store CSI Driver, and Deckhouse's.

use std::time::Duration;

use envlatch_test_support::eventually;
use serde_json::{Value, json};

use crate::bed::{
    SHELL, SOON, bundle, class, cluster, shell, volume, volume_of, volume_of_class, warned,
};

/// Prints every file with its mode, owner and content.
const LIST: &str = "cd /mnt/secrets && for file in $(find . -follow -type f -not -path '*/..*' | sort); do \
    echo \"$file $(stat -L -c '%a %u:%g' $file) $(cat $file)\"; done";

#[test]
#[ignore = "needs the cluster"]
fn a_bundle_is_mounted_for_a_pod_with_an_fs_group() {
    let cluster = cluster();
    let namespace = cluster.namespace("bundle");
    namespace.put(
        cluster.vault(),
        "db",
        &json!({"user": "app", "password": "hunter22"}),
    );
    let entries = [("user", "db#user"), ("deep/password", "db#password")];
    bundle(&namespace, "app", &entries, &json!({}));
    let pod = shell(
        &namespace,
        "app",
        volume("secrets", &json!({"bundle": "app"})),
        LIST,
    );
    assert_eq!(pod.ended().code, 0);
    assert_eq!(
        String::from_utf8(pod.log("")).unwrap(),
        "./deep/password 440 0:65532 hunter22\n./user 440 0:65532 app\n"
    );
}

#[test]
#[ignore = "needs the cluster"]
fn without_an_fs_group_files_are_readable_by_all_users_of_the_pod() {
    let cluster = cluster();
    let namespace = cluster.namespace("modes");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    bundle(
        &namespace,
        "app",
        &[("password", "db#password")],
        &json!({}),
    );
    let pod = namespace.pod(
        "app",
        &json!({
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 12345, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "hostUsers": false,
            "containers": [{
                "name": "app",
                "image": SHELL,
                "command": ["sh", "-c", LIST],
                "volumeMounts": [{"name": "secrets", "mountPath": "/mnt/secrets", "readOnly": true}],
            }],
            "volumes": [volume("secrets", &json!({"bundle": "app"}))],
        }),
    );
    assert_eq!(pod.ended().code, 0);
    let list = String::from_utf8(pod.log("")).unwrap();
    assert!(
        list.starts_with("./password 444 ") && list.ends_with(" hunter22\n"),
        "{list}"
    );
}

#[test]
#[ignore = "needs the cluster"]
fn a_secret_provider_class_is_mounted_as_the_vault_provider_does() {
    let cluster = cluster();
    let namespace = cluster.namespace("spc");
    let name = namespace.name().to_owned();
    let data = json!({"user": "app", "password": "hunter22", "binary": "aGVsbG8="});
    namespace.put(cluster.vault(), "db", &data);
    let objects = format!(
        "- objectName: user\n  secretPath: secret/data/{name}/db\n  secretKey: user\n  filePermission: 0640\n\
         - objectName: deep/password\n  secretPath: /v1/secret/data/{name}/db\n  secretKey: password\n\
         - objectName: decoded\n  secretPath: secret/data/{name}/db\n  secretKey: binary\n  encoding: base64\n\
         - objectName: all.json\n  secretPath: secret/data/{name}/db\n"
    );
    class(&namespace, &objects);
    let pod = shell(&namespace, "app", volume_of_class(), LIST);
    assert_eq!(pod.ended().code, 0);
    let list = String::from_utf8(pod.log("")).unwrap();
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(
        lines[1..],
        [
            "./decoded 440 0:65532 hello",
            "./deep/password 440 0:65532 hunter22",
            "./user 640 0:65532 app",
        ]
        .map(|line| line),
        "{list}"
    );
    let json = lines[0]
        .split_once('{')
        .map(|(_, rest)| format!("{{{rest}"))
        .unwrap();
    let whole: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(whole["data"]["data"]["user"], "app");
    assert!(
        whole["request_id"].is_null(),
        "it would change with each read"
    );

    let path = format!(
        "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/{name}/secretproviderclasspodstatuses/app-{name}-app"
    );
    // Nobody waits for it to be written.
    let status = eventually("the pod status", SOON, || {
        let (code, status) = cluster.try_request("GET", &path, &Value::Null);
        (code == 200).then_some(status)
    });
    assert_eq!(status["status"]["mounted"], true, "{status}");
    assert_eq!(status["status"]["objects"].as_array().unwrap().len(), 4);
}

#[test]
#[ignore = "needs the cluster"]
fn a_secrets_store_import_is_mounted_also_without_read_only() {
    let cluster = cluster();
    let namespace = cluster.namespace("import");
    let name = namespace.name().to_owned();
    namespace.put(
        cluster.vault(),
        "db",
        &json!({"password": "hunter22", "binary": "aGVsbG8="}),
    );
    let file = |file: &str, key: &str, decode: bool| {
        json!({
            "name": file,
            "decodeBase64": decode,
            "source": {"path": format!("secret/data/{name}/db"), "key": key},
        })
    };
    namespace.apply(json!({
        "apiVersion": "deckhouse.io/v1alpha1",
        "kind": "SecretsStoreImport",
        "metadata": {"name": "app"},
        "spec": {
            "type": "CSI",
            "role": name,
            "address": cluster.vault().address(),
            "files": [file("password", "password", false), file("binary", "binary", true)],
        },
    }));
    let attributes = json!({"secretsStoreImport": "app"});
    let mut volume = volume_of("secrets-store.csi.deckhouse.io", "secrets", &attributes);
    volume["csi"]["readOnly"] = json!(false);
    let pod = shell(
        &namespace,
        "app",
        volume,
        "cat /mnt/secrets/password /mnt/secrets/binary",
    );
    assert_eq!(pod.ended().code, 0);
    assert_eq!(pod.log(""), b"hunter22hello");
}

#[test]
#[ignore = "needs the cluster"]
fn what_is_wrong_stands_in_the_events_of_the_pod() {
    let cluster = cluster();
    let namespace = cluster.namespace("wrong");
    namespace.put(cluster.vault(), "db", &json!({"password": "hunter22"}));
    bundle(&namespace, "key", &[("password", "db#pasword")], &json!({}));
    bundle(
        &namespace,
        "path",
        &[("password", "elsewhere#password")],
        &json!({}),
    );
    bundle(
        &namespace,
        "role",
        &[("password", "db#password")],
        &json!({"role": "nobody"}),
    );
    bundle(
        &namespace,
        "store",
        &[("password", "db#password")],
        &json!({"store": "nowhere"}),
    );
    let cases = [
        (json!({"bundle": "key"}), true, vec!["pasword", "db"]),
        (json!({"bundle": "path"}), true, vec!["elsewhere"]),
        (json!({"bundle": "role"}), true, vec!["nobody"]),
        (json!({"bundle": "store"}), true, vec!["nowhere"]),
        (json!({"bundle": "absent"}), true, vec!["absent"]),
        (json!({"bundle": "key"}), false, vec!["readOnly"]),
        (
            json!({"bundle": "key", "roleName": "admin"}),
            true,
            vec!["roleName"],
        ),
        (json!({}), true, vec!["bundle", "secretProviderClass"]),
    ];
    for (index, (attributes, read_only, texts)) in cases.into_iter().enumerate() {
        let mut volume = volume("secrets", &attributes);
        volume["csi"]["readOnly"] = json!(read_only);
        let name = format!("app-{index}");
        let pod = shell(&namespace, &name, volume, "exit 0");
        let message = warned(&namespace, &name, &texts);
        assert!(!message.contains("hunter22"));
        pod.delete(Duration::ZERO);
    }
}
