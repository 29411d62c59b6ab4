//! The generated definitions are fresh, and a real API server enforces what they say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use envlatch_api::manifests;
use envlatch_test_support::ApiServer;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

const HEADER: &str =
    "# Generated from the crate envlatch-api: ENVLATCH_BLESS=1 cargo test -p envlatch-api\n";

fn rendered(definitions: &[CustomResourceDefinition]) -> String {
    let documents = definitions.iter().map(|definition| {
        let value = serde_json::to_value(definition).unwrap();
        format!("---\n{}", serde_saphyr::to_string(&value).unwrap())
    });
    HEADER.to_owned() + &documents.collect::<String>()
}

#[test]
fn the_files_in_deploy_are_fresh() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for (name, definitions) in [
        ("helm/envlatch/files/crds.yaml", manifests::own()),
        ("crds-compat.yaml", manifests::foreign()),
    ] {
        let (path, expected) = (deploy.join(name), rendered(&definitions));
        if std::env::var_os("ENVLATCH_BLESS").is_some() {
            fs::create_dir_all(&deploy).unwrap();
            fs::write(&path, &expected).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "deploy/{name} is stale; renew it with ENVLATCH_BLESS=1 cargo test -p envlatch-api"
        );
    }
}

#[test]
fn every_field_of_our_own_is_described() {
    fn undescribed(path: &str, schema: &Value, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let known = matches!(path.as_str(), ".apiVersion" | ".kind" | ".metadata");
            if !known && property["description"].as_str().is_none_or(str::is_empty) {
                found.push(path.clone());
            }
            undescribed(&path, property, found);
            undescribed(&path, &property["items"], found);
        }
    }
    for definition in manifests::own() {
        let definition = serde_json::to_value(definition).unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut found = Vec::new();
        undescribed("", schema, &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}

/// The largest value that a schema admits: every list full, every text of full length. `make` knows texts with a pattern.
fn largest(name: &str, schema: &Value, number: usize) -> Value {
    match schema["type"].as_str() {
        Some("object") if schema["properties"].is_object() => {
            let members = schema["properties"].as_object().unwrap();
            let excluded = |key: &str| match name {
                "entries" => matches!(key, "allKeys" | "wholeResponse" | "prefix" | "version"),
                _ => false,
            };
            let members = members.iter().filter(|(key, _)| !excluded(key));
            members
                .map(|(key, schema)| (key.clone(), largest(key, schema, number)))
                .collect::<Map<_, _>>()
                .into()
        }
        Some("object") => {
            let count = schema["maxProperties"].as_u64().expect("a map is bounded");
            let value = &schema["additionalProperties"];
            (0..count)
                .map(|n| (format!("key-{n}"), largest("", value, 0)))
                .collect::<Map<_, _>>()
                .into()
        }
        Some("array") => {
            let count = schema["maxItems"]
                .as_u64()
                .unwrap_or_else(|| panic!("{name} is bounded"));
            let count = usize::try_from(count).unwrap();
            (0..count)
                .map(|n| largest(name, &schema["items"], n))
                .collect()
        }
        Some("string") => text(name, schema, number).into(),
        Some("boolean") => false.into(),
        _ => schema["maximum"]
            .as_f64()
            .map_or(json!(1), |most| json!(most as i64)),
    }
}

fn text(name: &str, schema: &Value, number: usize) -> String {
    if let Some(first) = schema["enum"].as_array() {
        let first = match name {
            "method" => &first[first.len() - 1],
            _ => &first[0],
        };
        return first.as_str().unwrap().to_owned();
    }
    match name {
        "refresh" => return "720h".to_owned(),
        "mode" | "defaultMode" => return "0440".to_owned(),
        _ => {}
    }
    let length = schema["maxLength"]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} is bounded"));
    let beginning = match name {
        "path" => format!("a/{number}-"),
        "addresses" => "https://".to_owned(),
        "ca" => "-----BEGIN CERTIFICATE-----".to_owned(),
        _ => format!("{number}-"),
    };
    let rest = usize::try_from(length).unwrap() - beginning.len();
    beginning + &"a".repeat(rest)
}

fn with_definitions() -> ApiServer {
    let api = ApiServer::start();
    let definitions = manifests::own().into_iter().chain(manifests::foreign());
    let definitions: Vec<Value> = definitions
        .map(|one| serde_json::to_value(one).unwrap())
        .collect();
    api.define(&definitions);
    api
}

/// Makes one thing wrong in a spec.
type Change = fn(&mut Value);

const STORES: &str = "/apis/envlatch.io/v1alpha1/vaultstores";
const BUNDLES: &str = "/apis/envlatch.io/v1alpha1/namespaces/default/secretbundles";

#[test]
#[ignore = "needs Kubernetes"]
fn a_real_api_server_takes_the_largest_objects() {
    let api = with_definitions();
    for (definition, path, kind) in manifests::own()
        .into_iter()
        .zip([STORES, BUNDLES])
        .zip(["VaultStore", "SecretBundle"])
        .map(|((d, p), k)| (d, p, k))
    {
        let definition = serde_json::to_value(definition).unwrap();
        let schema =
            &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let object = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": kind,
            "metadata": {"name": "largest"}, "spec": largest("spec", schema, 0),
        });
        println!("{kind}: {} bytes", object.to_string().len());
        api.api("POST", path, &object);
    }
}

#[test]
#[ignore = "needs Kubernetes"]
fn a_real_api_server_refuses_what_rules_forbid() {
    let api = with_definitions();
    let bundle = |change: Change| {
        let mut spec = json!({
            "role": "app",
            "entries": [{"name": "a", "path": "secret/data/app", "key": "k"}],
            "sync": {"serviceAccount": "app", "secretName": "app"},
        });
        change(&mut spec);
        json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "SecretBundle",
            "metadata": {"generateName": "one-"}, "spec": spec,
        })
    };
    let (status, answer) = api.send("POST", BUNDLES, &bundle(|_| {}));
    assert_eq!(status, 201, "{answer}");
    assert_eq!(answer["spec"]["refresh"], "5m");
    let cases: [(&str, Change); 22] = [
        ("exactly one of key, allKeys and wholeResponse", |spec| {
            spec["entries"][0]["allKeys"] = json!(true)
        }),
        ("exactly one of key, allKeys and wholeResponse", |spec| {
            spec["entries"][0]["key"] = Value::Null
        }),
        ("must be true or absent", |spec| {
            spec["entries"][0] = json!({"name": "a", "path": "secret/data/app", "allKeys": false});
        }),
        ("version is for method read", |spec| {
            spec["entries"][0]["version"] = json!(1);
            spec["entries"][0]["method"] = json!("write");
        }),
        ("prefix is for allKeys", |spec| {
            spec["entries"][0]["prefix"] = json!("x-")
        }),
        ("version is given twice", |spec| {
            spec["entries"][0]["version"] = json!(1);
            spec["entries"][0]["arguments"] = json!([{"name": "version", "value": "2"}]);
        }),
        ("Duplicate value", |spec| {
            let entry = spec["entries"][0].clone();
            spec["entries"].as_array_mut().unwrap().push(entry);
        }),
        ("must not begin with ..", |spec| {
            spec["entries"][0]["name"] = json!("..data")
        }),
        ("must not begin with ..", |spec| {
            spec["entries"][0]["name"] = json!("a/../b")
        }),
        ("should match", |spec| {
            spec["entries"][0]["name"] = json!("a\nb")
        }),
        ("must not have an empty part", |spec| {
            spec["entries"][0]["path"] = json!("secret/../sys")
        }),
        ("should match", |spec| {
            spec["entries"][0]["path"] = json!("secret/data/app?x=1")
        }),
        ("should match", |spec| {
            spec["entries"][0]["mode"] = json!("420")
        }),
        ("must be from 10s to 720h", |spec| {
            spec["refresh"] = json!("1s")
        }),
        ("must be from 10s to 720h", |spec| {
            spec["refresh"] = json!("721h")
        }),
        ("should match", |spec| spec["refresh"] = json!("0s")),
        ("should match", |spec| spec["refresh"] = json!("5 min")),
        ("must have entries or templates", |spec| {
            spec["entries"] = json!([])
        }),
        ("this type gives rights of its own", |spec| {
            spec["sync"]["type"] = json!("kubernetes.io/service-account-token");
        }),
        ("use onDelete: Retain", |spec| {
            spec["sync"]["ownership"] = json!("Merge");
            spec["sync"]["onDelete"] = json!("Delete");
        }),
        ("Unsupported value", |spec| {
            spec["sync"]["ownership"] = json!("Steal")
        }),
        ("Required value", |spec| spec["role"] = Value::Null),
    ];
    for (expected, change) in cases {
        let (status, answer) = api.send("POST", BUNDLES, &bundle(change));
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(
            status == 422 && message.contains(expected),
            "{expected}: {status} {message}"
        );
    }
    let store = |addresses: Value| {
        json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "VaultStore",
            "metadata": {"generateName": "one-"}, "spec": {"addresses": addresses},
        })
    };
    for (addresses, expected) in [
        (json!(["https://vault.example:8200"]), 201),
        (json!(["https://user@vault.example"]), 422),
        (json!(["file:///etc/passwd"]), 422),
        (json!([]), 422),
    ] {
        let (status, answer) = api.send("POST", STORES, &store(addresses.clone()));
        assert_eq!(status, expected, "{addresses}: {answer}");
    }
}
