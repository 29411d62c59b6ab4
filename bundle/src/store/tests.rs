//! What stores grant, and what they do not.

use serde_json::{Value, json};

use super::*;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n";

fn store(name: &str, more: &Value) -> VaultStore {
    let mut spec = json!({
        "addresses": ["https://vault.example:8200", "https://other.example:8200"],
        "tls": {"ca": PEM},
        "grants": [{"namespaces": ["team-*"], "roles": ["app", "web-*"]}, {"namespaces": ["infra"], "roles": ["*"]}],
    });
    spec.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let object = json!({
        "apiVersion": "envlatch.io/v1alpha1", "kind": "VaultStore",
        "metadata": {"name": name, "uid": "u", "generation": 1}, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

fn claim(role: &str) -> Claim {
    Claim {
        role: role.to_owned(),
        ..Claim::default()
    }
}

#[test]
fn a_store_is_found_by_name_address_or_default() {
    let main = store("main", &json!({"default": true}));
    let side = store("side", &json!({"addresses": ["https://side.example"]}));
    let stores = [main, side];
    let address = |text: &str| StoreChoice::Address(text.to_owned());
    for (choice, expected) in [
        (StoreChoice::Default, Ok("main")),
        (StoreChoice::Name("side".to_owned()), Ok("side")),
        (StoreChoice::Name("none".to_owned()), Err(Code::NotFound)),
        (address("https://SIDE.example:443/"), Ok("side")),
        (address("https://other.example:8200"), Ok("main")),
        (address("http://side.example"), Err(Code::PermissionDenied)),
        (
            address("https://side.example.evil"),
            Err(Code::PermissionDenied),
        ),
        (
            address("https://side.example@evil"),
            Err(Code::InvalidArgument),
        ),
        (
            address("https://side.example?x"),
            Err(Code::InvalidArgument),
        ),
        (
            address("https://169.254.169.254"),
            Err(Code::PermissionDenied),
        ),
        (address("side.example"), Err(Code::InvalidArgument)),
    ] {
        let claim = Claim {
            store: choice.clone(),
            ..claim("app")
        };
        let found = choose(&claim, &stores).map(|store| store.name_any());
        assert_eq!(
            found.map_err(|problem| problem.code),
            expected.map(str::to_owned),
            "{choice:?}"
        );
    }
    let twins = [
        store("a", &json!({"default": true})),
        store("b", &json!({"default": true})),
    ];
    let problem = choose(&claim("app"), &twins).unwrap_err();
    assert!(problem.message.contains("(a, b)"), "{problem}");
    assert_eq!(
        choose(&claim("app"), &[]).unwrap_err().reason,
        "StoreNotFound"
    );
}

#[test]
fn grants_are_by_namespace_and_role() {
    let store = store("main", &json!({}));
    for (namespace, role, granted) in [
        ("team-a", "app", true),
        ("team-a", "web-1", true),
        ("team-a", "root", false),
        ("team", "app", false),
        ("infra", "root", true),
        ("default", "app", false),
    ] {
        let outcome = grant(&claim(role), &store, namespace);
        assert_eq!(outcome.is_ok(), granted, "{namespace} {role}");
        if let Err(problem) = outcome {
            assert!(
                problem.message.contains("main") && problem.message.contains("spec.grants"),
                "{problem}"
            );
        }
    }
    let nobody = self::store("main", &json!({"grants": []}));
    assert!(grant(&claim("app"), &nobody, "team-a").is_err());
}

#[test]
fn what_a_tenant_says_about_tls_must_be_what_the_store_says() {
    let rewrapped = PEM.replace("AAAA\nBBBB", "AAAABBBB");
    for (demand, met) in [
        (Demand::ca("vaultCACert", PEM), true),
        (Demand::ca("vaultCACert", rewrapped), true),
        (Demand::ca("vaultCACert", "other"), false),
        (Demand::file("vaultCACertPath"), false),
        (Demand::file("vaultTLSClientKeyPath"), false),
        (
            Demand::server_name("vaultTLSServerName", "vault.example"),
            false,
        ),
        (Demand::skip_verify("vaultSkipTLSVerify"), false),
    ] {
        let field = demand.field.clone();
        let claim = Claim {
            demands: vec![demand],
            ..claim("app")
        };
        let outcome = grant(&claim, &store("main", &json!({})), "team-a");
        assert_eq!(outcome.is_ok(), met, "{field}");
        if let Err(problem) = outcome {
            assert_eq!(problem.code, Code::PermissionDenied);
            assert!(
                problem.message.contains(&field) && problem.message.contains("VaultStore main"),
                "{problem}"
            );
        }
        let lenient = store("main", &json!({"allow": {"ignoredParameters": [field]}}));
        assert!(
            grant(&claim, &lenient, "team-a")
                .unwrap()
                .settings
                .tls
                .verify
        );
    }
    let careless = store("main", &json!({"tls": {"insecureSkipVerify": true}}));
    let claim = Claim {
        demands: vec![Demand::skip_verify("vaultSkipTLSVerify")],
        ..claim("app")
    };
    assert!(
        !grant(&claim, &careless, "team-a")
            .unwrap()
            .settings
            .tls
            .verify
    );
}

#[test]
fn mounts_namespaces_and_audiences_are_the_stores_or_listed() {
    let plain = store("main", &json!({"serverNamespace": "own"}));
    let open = store(
        "main",
        &json!({
            "serverNamespace": "own",
            "allow": {"serverNamespaces": ["team/*"], "authMounts": ["jwt"], "audiences": ["other"], "writes": ["pki/issue/*"]},
        }),
    );
    let with = |namespace: Option<&str>, mount: Option<&str>, audience: Option<&str>| Claim {
        server_namespace: namespace.map(str::to_owned),
        auth_mount: mount.map(str::to_owned),
        audience: audience.map(str::to_owned),
        ..claim("app")
    };
    for (claim, by_plain, by_open) in [
        (with(None, None, None), true, true),
        (
            with(Some("own"), Some("kubernetes"), Some("vault")),
            true,
            true,
        ),
        (with(Some("team/a"), None, None), false, true),
        (with(Some("else"), None, None), false, false),
        (with(None, Some("jwt"), None), false, true),
        (with(None, None, Some("other")), false, true),
        (
            with(None, None, Some("https://kubernetes.default.svc")),
            false,
            false,
        ),
    ] {
        assert_eq!(
            grant(&claim, &plain, "team-a").is_ok(),
            by_plain,
            "{claim:?}"
        );
        assert_eq!(grant(&claim, &open, "team-a").is_ok(), by_open, "{claim:?}");
    }
    let access = grant(&claim("app"), &open, "team-a").unwrap();
    assert_eq!(access.settings.namespace.as_deref(), Some("own"));
    assert_eq!(access.audiences, ["vault", "openbao"]);
    assert!(access.check_write("cert", "pki/issue/web").is_ok());
    assert_eq!(
        access.check_write("cert", "sys/seal").unwrap_err().code,
        Code::PermissionDenied
    );
    assert!(access.shares_logins);
    let jwt = store("main", &json!({"auth": {"method": "jwt"}}));
    assert!(!grant(&claim("app"), &jwt, "team-a").unwrap().shares_logins);
}
