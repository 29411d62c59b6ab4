//! Requests that create something: certificates, ciphertexts.

use envlatch_test_support::Vault;
use serde_json::json;

use crate::{run_as_root, unique};

/// A PKI engine with a role `web`.
fn pki(vault: &Vault, role: &serde_json::Value) -> String {
    let mount = unique("pki");
    vault.api(
        "POST",
        &format!("sys/mounts/{mount}"),
        &json!({"type": "pki"}),
    );
    vault.api(
        "POST",
        &format!("{mount}/root/generate/internal"),
        &json!({"common_name": "test", "ttl": "24h"}),
    );
    vault.api("POST", &format!("{mount}/roles/web"), role);
    mount
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_certificate_and_its_key_come_from_one_request() {
    let vault = Vault::shared_dev();
    let mount = pki(vault, &json!({"allow_any_name": true, "ttl": "1h"}));
    let reference =
        |key: &str| format!(">>vault:{mount}/issue/web#{key}#{{\"common_name\":\"a.example\"}}");
    let program = run_as_root(vault, &[])
        .env("CERT", reference("certificate"))
        .env("KEY", reference("private_key"))
        .env("SERIAL", reference("serial_number"));
    let report = program.run().success().report();
    let value = |name: &str| report.env(name).unwrap().to_str().unwrap().to_owned();
    assert!(value("CERT").starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(value("KEY").starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    let issued = vault
        .audit()
        .into_iter()
        .filter(|(_, path)| *path == format!("{mount}/issue/web"))
        .count();
    assert_eq!(issued, 1, "one certificate for its key");
    vault.api(
        "GET",
        &format!("{mount}/cert/{}", value("SERIAL").replace(':', "-")),
        &json!(null),
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn nothing_is_created_when_anything_else_is_wrong() {
    let vault = Vault::shared_dev();
    let mount = pki(vault, &json!({"allow_any_name": true, "ttl": "1h"}));
    let program = run_as_root(vault, &[])
        .env(
            "CERT",
            format!(">>vault:{mount}/issue/web#certificate#{{\"common_name\":\"a.example\"}}"),
        )
        .env("A", "vault:secret/data/absent-for-sure#k");
    program.run().expect_code(66).stderr_has("A: ");
    assert!(
        !vault
            .audit()
            .iter()
            .any(|(_, path)| *path == format!("{mount}/issue/web"))
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn transit_ciphertexts_are_decrypted() {
    let vault = Vault::shared_dev();
    let mount = unique("transit");
    vault.api(
        "POST",
        &format!("sys/mounts/{mount}"),
        &json!({"type": "transit"}),
    );
    vault.api("POST", &format!("{mount}/keys/app"), &json!({}));
    let encrypt = |plaintext: &str| {
        let reply = vault.api(
            "POST",
            &format!("{mount}/encrypt/app"),
            &json!({"plaintext": plaintext}),
        );
        reply["data"]["ciphertext"].as_str().unwrap().to_owned()
    };
    let (first, second) = (encrypt("aGVsbG8="), encrypt("d29ybGQ="));
    let program = run_as_root(vault, &[])
        .env("A", &first)
        .env("B", format!("<${{{second}}}>"))
        .env("C", format!(">>vault:{mount}/decrypt/app#${{.plaintext | b64dec}}#{{\"ciphertext\":\"{first}\"}}"))
        .env("VAULT_TRANSIT_KEY_ID", "app")
        .env("VAULT_TRANSIT_PATH", &mount);
    assert_eq!(
        program.run().success().report().environ,
        ["A=hello", "B=<world>", "C=hello"]
    );
    // vault-env divided by this size.
    assert_eq!(
        program
            .env("VAULT_TRANSIT_BATCH_SIZE", "0")
            .run()
            .success()
            .report()
            .env("A")
            .unwrap(),
        "hello"
    );
    let broken = run_as_root(vault, &[])
        .env("A", "vault:v1:AAAA")
        .env("VAULT_TRANSIT_KEY_ID", "app")
        .env("VAULT_TRANSIT_PATH", &mount);
    broken.run().stderr_has("A: ").stderr_has("decrypt");
}
