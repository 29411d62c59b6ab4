//! Ways to log in.

use std::fs;

use envlatch_test_support::{Key, Program, TempDir, Vault};
use serde_json::{Value, json};

use crate::{reader, run, unique};

/// A path to read, and a program that reads it.
fn reading(vault: &Vault, options: &[&str]) -> Program {
    vault.put_kv2("auth", &json!({"k": "v"}));
    run(vault, options).env("A", "vault:secret/data/auth#k")
}

fn succeeds(program: &Program) {
    assert_eq!(program.run().success().report().environ, ["A=v"]);
}

fn enable(vault: &Vault, method: &str) -> String {
    let mount = unique(method);
    vault.api(
        "POST",
        &format!("sys/auth/{mount}"),
        &json!({"type": method}),
    );
    mount
}

fn text<'a>(reply: &'a Value, pointer: &str) -> &'a str {
    reply.pointer(pointer).and_then(Value::as_str).unwrap()
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn token_and_token_file() {
    let vault = Vault::shared_dev();
    let token = vault.token(&[&reader(vault)], "5m");
    succeeds(&reading(vault, &[]).env("VAULT_TOKEN", &token));
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, format!("  {token}\n")).unwrap();
    succeeds(&reading(vault, &[]).env("VAULT_TOKEN_FILE", &file));
    succeeds(
        &reading(vault, &["--token-file", file.to_str().unwrap()])
            .env("VAULT_TOKEN", "the option wins"),
    );
    assert!(
        vault.accepts(&token),
        "a token that was given is its giver's to revoke"
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn l24_token_files_that_hold_no_token() {
    let vault = Vault::shared_dev();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("token");
    for content in ["", "\n", "a\0b", "two words\nlines"] {
        fs::write(&file, content).unwrap();
        let refused = reading(vault, &[]).env("VAULT_TOKEN_FILE", &file).run();
        refused
            .stderr_has(file.to_str().unwrap())
            .stderr_lacks("lines");
        assert!(
            matches!(refused.code, Some(77 | 78)),
            "{content:?}: {:?}",
            refused.code
        );
    }
    let absent = reading(vault, &[])
        .env("VAULT_TOKEN_FILE", "/absent/token")
        .run();
    absent.stderr_has("/absent/token");
    assert!(matches!(absent.code, Some(66 | 78)), "{:?}", absent.code);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn approle_also_with_a_wrapped_secret_id() {
    let vault = Vault::shared_dev();
    let mount = enable(vault, "approle");
    vault.api(
        "POST",
        &format!("auth/{mount}/role/app"),
        &json!({"token_policies": [reader(vault)], "token_ttl": "5m"}),
    );
    let role = vault.api("GET", &format!("auth/{mount}/role/app/role-id"), &json!({}));
    let secret = vault.api(
        "POST",
        &format!("auth/{mount}/role/app/secret-id"),
        &json!({}),
    );
    let program = |vault: &Vault| {
        reading(vault, &["--auth", "approle", "--auth-mount", &mount])
            .env("VAULT_ROLE_ID", text(&role, "/data/role_id"))
    };
    succeeds(&program(vault).env("VAULT_SECRET_ID", text(&secret, "/data/secret_id")));
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("secret-id");
    fs::write(&file, format!("{}\n", text(&secret, "/data/secret_id"))).unwrap();
    succeeds(&program(vault).env("VAULT_SECRET_ID_FILE", &file));
    let wrapped = vault.wrapped(
        "POST",
        &format!("auth/{mount}/role/app/secret-id"),
        &json!({}),
    );
    let with_wrapped = program(vault)
        .env("VAULT_SECRET_ID", &wrapped)
        .env("VAULT_SECRET_ID_WRAPPED", "true");
    succeeds(&with_wrapped);
    // A wrapping token works once: somebody else has used it.
    let used = with_wrapped.run();
    assert_ne!(used.code, Some(0));
    used.stderr_has("wrap").stderr_lacks(&wrapped);
    program(vault)
        .env("VAULT_SECRET_ID", "wrong")
        .run()
        .stderr_has(&mount);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn userpass() {
    let vault = Vault::shared_dev();
    let mount = crate::userpass(vault, "pw");
    let program = reading(vault, &["--auth", "userpass", "--auth-mount", &mount])
        .env("VAULT_USERNAME", "bob");
    succeeds(&program.env("VAULT_PASSWORD", "pw"));
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn jwt_with_a_key_of_our_own() {
    let vault = Vault::shared_dev();
    let mount = enable(vault, "jwt");
    let key = Key::generate();
    vault.api(
        "POST",
        &format!("auth/{mount}/config"),
        &json!({"jwt_validation_pubkeys": [key.public_pem()]}),
    );
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": [reader(vault)], "token_ttl": "5m",
    });
    vault.api("POST", &format!("auth/{mount}/role/app"), &role);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let jwt = |audience: &str| {
        key.sign(&json!({"sub": "app", "aud": audience, "iat": now, "exp": now + 300}))
    };
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("jwt");
    fs::write(&file, format!("{}\n", jwt("vault"))).unwrap();
    let options = [
        "--auth",
        "jwt",
        "--auth-mount",
        &mount,
        "--role",
        "app",
        "--jwt-file",
        file.to_str().unwrap(),
    ];
    succeeds(&reading(vault, &options));
    let as_peers_say = reading(vault, &[])
        .env("VAULT_AUTH_METHOD", "jwt")
        .env("VAULT_PATH", &mount)
        .env("VAULT_ROLE", "app")
        .env("VAULT_JWT_FILE", &file);
    succeeds(&as_peers_say);
    fs::write(&file, jwt("another")).unwrap();
    let refused = reading(vault, &options).run();
    refused
        .stderr_has(&mount)
        .stderr_has("app")
        .stderr_has("audience");
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn tls_by_file_by_bytes_and_with_a_client_certificate() {
    let vault = Vault::shared_tls();
    vault.put_kv2("auth", &json!({"k": "v"}));
    let token = vault.token(&[&reader(vault)], "5m");
    let program = run(vault, &[]).env("A", "vault:secret/data/auth#k");
    let with_token = || {
        run(vault, &[])
            .env("A", "vault:secret/data/auth#k")
            .env("VAULT_TOKEN", &token)
    };
    succeeds(&with_token().env("VAULT_CACERT", vault.ca_file()));
    succeeds(&with_token().env("VAULT_CACERT_BYTES", vault.ca_pem()));
    let by_the_system = with_token().env("SSL_CERT_FILE", vault.ca_file()).run();
    assert_eq!(by_the_system.success().report().env("A").unwrap(), "v");
    let mount = enable(vault, "cert");
    let body = json!({"certificate": vault.ca_pem(), "token_policies": [reader(vault)], "token_ttl": "5m"});
    vault.api("POST", &format!("auth/{mount}/certs/app"), &body);
    let client = vault.authority().issue(&["client"]);
    let directory = TempDir::new().unwrap();
    let (cert, key) = (directory.path().join("cert"), directory.path().join("key"));
    fs::write(&cert, &client.certificate_pem).unwrap();
    fs::write(&key, &client.key_pem).unwrap();
    let by_certificate = program
        .env("VAULT_AUTH_METHOD", "cert")
        .env("VAULT_PATH", &mount)
        .env("VAULT_ROLE", "app")
        .env("VAULT_CACERT", vault.ca_file())
        .env("VAULT_CLIENT_CERT", &cert)
        .env("VAULT_CLIENT_KEY", &key);
    succeeds(&by_certificate);
}
