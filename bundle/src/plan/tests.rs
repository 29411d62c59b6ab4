//! What classes become, and what is refused.

use std::collections::BTreeMap;

use envlatch_api::{SecretBundleSpec, SecretProviderClassSpec, SecretsStoreImportSpec};
use proptest::prelude::*;

use super::*;
use crate::Code;

fn class(provider: &str, parameters: &[(&str, &str)]) -> SecretProviderClassSpec {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    SecretProviderClassSpec {
        provider: Some(provider.to_owned()),
        parameters: Some(parameters.iter().map(owned).collect()),
        secret_objects: None,
    }
}

fn with_objects(objects: &str) -> Result<Plan, crate::Problem> {
    from_class(&class(
        "vault",
        &[("roleName", "app"), ("objects", objects)],
    ))
}

/// What is said about a class with these objects; nothing when it is taken.
fn fault(objects: &str) -> String {
    with_objects(objects)
        .err()
        .map_or(String::new(), |problem| problem.message)
}

const ONE: &str = "- objectName: a\n  secretPath: secret/data/app\n  secretKey: k\n";

#[test]
fn objects_as_the_providers_document_them() {
    let plan = with_objects(
        r#"
- objectName: "db-password"
  secretPath: "/v1/secret/data/db?version=2"
  secretKey: "password"
  filePermission: 0624
- objectName: tls/whole.json
  secretPath: secret/data/db
- objectName: cert
  secretPath: pki/issue/web
  secretKey: certificate
  method: PUT
  secretArgs:
    common_name: example.com
    ttl: 24h
    alt: [1, true]
  encoding: hex
  filePermission: "0440"
"#,
    )
    .unwrap();
    let [password, whole, certificate] = plan.entries.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!(password.ask.path, "secret/data/db");
    assert_eq!(password.ask.query, [("version".to_owned(), "2".to_owned())]);
    assert_eq!(
        (password.mode, password.encoding),
        (Some(0o624), Encoding::Utf8)
    );
    assert_eq!((&whole.take, whole.mode), (&Take::Whole, None));
    let arguments = certificate.ask.arguments.as_ref().unwrap().to_json();
    assert_eq!(
        arguments.expose_str().unwrap(),
        r#"{"alt":[1,true],"common_name":"example.com","ttl":"24h"}"#
    );
    assert_eq!(
        (certificate.mode, certificate.encoding),
        (Some(0o440), Encoding::Hex)
    );
}

#[test]
fn one_path_with_two_argument_sets_is_two_requests() {
    let item = |name: &str| {
        format!(
            "- {{objectName: {name}, secretPath: pki/issue/web, method: PUT, secretArgs: {{common_name: {name}}}}}\n"
        )
    };
    let plan = with_objects(&(item("a") + &item("b"))).unwrap();
    assert_ne!(plan.entries[0].ask, plan.entries[1].ask);
}

#[test]
fn objects_that_are_refused() {
    let mut bomb = "- objectName: a\n  secretPath: a/b\n  method: PUT\n  secretArgs:\n    a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (name, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e")] {
        let aliases = vec![format!("*{of}"); 10].join(",");
        bomb += &format!("    {name}: &{name} [{aliases}]\n");
    }
    for (objects, expected) in [
        ("", "objects is missing or empty"),
        ("[]", "objects is empty"),
        ("- objectName: a\n", "has no secretPath"),
        ("- secretPath: secret/data/a\n", "item 1 has no objectName"),
        (
            "- objectName: a\n  secretPath: secret/data/a\n  secretkey: k\n",
            "did you mean secretKey?",
        ),
        (
            "- objectName: a\n  zzz: k\n",
            "unknown key zzz; known are objectName",
        ),
        (
            "- objectName: a\n  objectName: b\n",
            "has a key given twice",
        ),
        ("- objectName: a\n\tsecretPath: b\n", "is not a YAML list"),
        (&bomb, "grows beyond every limit"),
        (
            "- objectName: a\n  secretPath: secret/data/../x\n",
            "secretPath is",
        ),
        (
            "- objectName: a\n  secretPath: secret/%2e%2e/x\n",
            "secretPath is",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  method: DELETE\n",
            "method DELETE changes the secret",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  method: HEAD\n",
            "method is none of GET, PUT and POST",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  encoding: base64\n",
            "has an encoding and no secretKey",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  secretArgs: {k: v}\n",
            "which method GET does not send",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  encoding: rot13\n",
            "encoding is none of",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  encoding: hex\n  decodeBase64: true\n",
            "remove one of them",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  secretKey: k\n  allKeys: true\n",
            "both secretKey and allKeys",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  filePermission: 420\n",
            "filePermission is no mode",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  filePermission: 0777\n",
            "filePermission is no mode",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  filePermission: 04755\n",
            "filePermission is no mode",
        ),
        (
            "- objectName: a\n  secretPath: a/b\n  filePermission: -1\n",
            "filePermission is no mode",
        ),
    ] {
        assert!(
            fault(objects).contains(expected),
            "{objects:?}: {}",
            fault(objects)
        );
    }
}

#[test]
fn a_fault_in_yaml_has_its_place() {
    let text = fault("- objectName: a\n  secretPath: secret/data/a\n  secretkey: k\n");
    assert!(text.contains("(line 3, column"), "{text}");
}

#[test]
fn too_many_objects_and_methods_that_change_are_of_other_codes() {
    let code = |objects: &str| with_objects(objects).unwrap_err().code;
    let many = "- objectName: a\n  secretPath: a/b\n".repeat(1025);
    assert!(fault(&many).contains("1025 items; at most 1024"));
    assert_eq!(code(&many), Code::ResourceExhausted);
    let delete = "- objectName: a\n  secretPath: a/b\n  method: DELETE\n";
    assert_eq!(code(delete), Code::PermissionDenied);
}

#[test]
fn parameters_that_are_refused() {
    for (provider, parameters, expected) in [
        ("", vec![("roleName", "r")], "spec.provider is missing"),
        (
            "azure",
            vec![("roleName", "r")],
            "neither vault nor openbao",
        ),
        ("vault", vec![("objects", ONE)], "roleName is missing"),
        (
            "vault",
            vec![
                ("roleName", "r"),
                ("objects", ONE),
                ("vaultAddres", "https://v"),
            ],
            "did you mean vaultAddress?",
        ),
        (
            "vault",
            vec![("roleName", "r"), ("objects", ONE), ("vaultAudience", "v")],
            "vaultAudience is no parameter",
        ),
        (
            "vault",
            vec![
                ("roleName", "r"),
                ("objects", ONE),
                ("baoAddress", "https://v"),
            ],
            "baoAddress is no parameter",
        ),
        (
            "vault",
            vec![
                ("roleName", "r"),
                ("objects", ONE),
                ("vaultKubernetesMountPath", "a"),
                ("vaultAuthMountPath", "b"),
            ],
            "are both set",
        ),
        (
            "vault",
            vec![
                ("roleName", "r"),
                ("objects", ONE),
                ("vaultSkipTLSVerify", "yes"),
            ],
            "neither \"true\" nor \"false\"",
        ),
    ] {
        let problem = from_class(&class(provider, &parameters)).unwrap_err();
        assert_eq!(problem.code, Code::InvalidArgument);
        assert!(problem.message.contains(expected), "{problem}");
    }
}

#[test]
fn spellings_of_openbao_and_what_was_dropped_long_ago() {
    let parameters = [
        ("baoRoleName", "one"),
        ("vaultAddress", "https://vault"),
        ("openbaoAddress", "https://openbao"),
        ("baoAddress", "https://bao"),
        ("openbaoNamespace", "team"),
        ("vaultAuthMountPath", "/jwt/"),
        ("audience", "vault"),
        ("vaultCAPem", "ignored"),
        ("kubernetesServiceAccountPath", "ignored"),
        ("objects", ONE),
    ];
    let claim = from_class(&class("openbao", &parameters)).unwrap().claim;
    assert_eq!(
        claim.store,
        crate::StoreChoice::Address("https://bao".to_owned())
    );
    assert_eq!(
        (claim.role.as_str(), claim.server_namespace.as_deref()),
        ("one", Some("team"))
    );
    assert_eq!(
        (claim.auth_mount.as_deref(), claim.audience.as_deref()),
        (Some("jwt"), Some("vault"))
    );
    assert_eq!(claim.demands, []);
}

#[test]
fn an_import_of_deckhouse() {
    let spec: SecretsStoreImportSpec = serde_json::from_value(serde_json::json!({
        "type": "CSI", "role": "app", "authPath": "k8s", "skipTLSVerify": true, "caCert": "PEM", "audience": "",
        "files": [
            {"name": "a", "source": {"path": "secret/data/app", "key": "k"}},
            {"name": "b", "decodeBase64": true, "source": {"path": "secret/data/app", "key": "l"}},
        ],
    }))
    .unwrap();
    let plan = from_import(&spec).unwrap();
    assert_eq!(plan.claim.demands.len(), 2);
    assert_eq!(plan.claim.auth_mount.as_deref(), Some("k8s"));
    assert_eq!(plan.claim.audience, None);
    assert_eq!(plan.entries[0].ask, plan.entries[1].ask);
    let encodings: Vec<Encoding> = plan.entries.iter().map(|entry| entry.encoding).collect();
    assert_eq!(encodings, [Encoding::Utf8, Encoding::Base64]);
    assert!(
        from_import(&SecretsStoreImportSpec {
            files: Vec::new(),
            ..spec
        })
        .is_err()
    );
}

#[test]
fn a_bundle() {
    let spec: SecretBundleSpec = serde_json::from_value(serde_json::json!({
        "role": "app", "refresh": "90s", "defaultMode": "0400",
        "entries": [
            {"name": "a", "path": "secret/data/app", "key": "/db/hosts/0", "version": 3, "arguments": [{"name": "x", "value": "y"}]},
            {"name": "all", "path": "secret/data/app", "allKeys": true, "prefix": "app/", "mode": "0440", "optional": true},
            {"name": "cert", "path": "pki/issue/web", "wholeResponse": true, "method": "write",
             "arguments": [{"name": "common_name", "value": "example.com"}]},
        ],
        "templates": [{"name": "url", "text": "postgres://${.a}"}],
    }))
    .unwrap();
    let plan = from_bundle(&spec).unwrap();
    assert_eq!(plan.refresh, Some(Duration::from_secs(90)));
    assert_eq!(plan.default_mode, Some(0o400));
    let query = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        plan.entries[0].ask.query,
        [query("x", "y"), query("version", "3")]
    );
    assert_eq!(
        plan.entries[1].take,
        Take::AllKeys {
            prefix: "app/".to_owned()
        }
    );
    assert!(plan.entries[1].optional);
    assert!(plan.entries[2].ask.arguments.is_some() && plan.entries[2].ask.query.is_empty());

    let mut broken = spec.clone();
    broken.entries[0].all_keys = Some(true);
    assert!(
        from_bundle(&broken)
            .unwrap_err()
            .message
            .contains("exactly one of")
    );
    broken = spec.clone();
    broken.templates[0].text = "${.a".to_owned();
    assert!(
        from_bundle(&broken)
            .unwrap_err()
            .message
            .contains("template url")
    );
    broken = spec;
    broken.refresh = "soon".to_owned();
    assert!(from_bundle(&broken).is_err());
}

proptest! {
    #[test]
    fn no_yaml_makes_it_panic_or_repeat_itself(text in "[-a-zA-Z:&*!|>{}\\[\\]'\"#\\n\\t ,0-9]{0,200}") {
        let parameters = BTreeMap::from([
            ("roleName".to_owned(), "app".to_owned()),
            ("objects".to_owned(), format!("- objectName: canary-6f1\n  secretPath: canary-6f1 {text}")),
        ]);
        let spec = SecretProviderClassSpec { provider: Some("vault".to_owned()), parameters: Some(parameters), secret_objects: None };
        if let Err(problem) = from_class(&spec) {
            prop_assert!(problem.message.len() < 2048);
        }
    }
}
