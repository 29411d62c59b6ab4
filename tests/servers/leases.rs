//! What becomes of the launcher's own token, and of what was created under it.

use envlatch_test_support::{Program, Vault, eventually};
use serde_json::json;

use crate::{SOON, launch, unique};

/// A program that logs in by approle, with a policy that lets read `secret/` and issue certificates, whose role leases
/// them: revoking the token takes them along.
fn leasing(vault: &Vault, verb: &str) -> (Program, String) {
    let (auth, pki, policy) = (unique("approle"), unique("pki"), unique("leasing"));
    vault.api(
        "POST",
        &format!("sys/mounts/{pki}"),
        &json!({"type": "pki"}),
    );
    vault.api(
        "POST",
        &format!("{pki}/root/generate/internal"),
        &json!({"common_name": "test", "ttl": "24h"}),
    );
    vault.api(
        "POST",
        &format!("{pki}/roles/web"),
        &json!({"allow_any_name": true, "ttl": "1h", "generate_lease": true}),
    );
    let hcl = format!(
        "path \"secret/data/*\" {{ capabilities = [\"read\"] }} path \"{pki}/issue/web\" {{ capabilities = [\"update\"] }}"
    );
    vault.policy(&policy, &hcl);
    vault.api(
        "POST",
        &format!("sys/auth/{auth}"),
        &json!({"type": "approle"}),
    );
    vault.api(
        "POST",
        &format!("auth/{auth}/role/app"),
        &json!({"token_policies": [policy], "token_ttl": "5m"}),
    );
    let role = vault.api(
        "GET",
        &format!("auth/{auth}/role/app/role-id"),
        &json!(null),
    );
    let secret = vault.api(
        "POST",
        &format!("auth/{auth}/role/app/secret-id"),
        &json!({}),
    );
    vault.put_kv2("lease", &json!({"k": "v", "long": "x".repeat(131_070)}));
    let program = launch(vault, verb, &["--auth", "approle", "--auth-mount", &auth])
        .env("VAULT_ROLE_ID", role["data"]["role_id"].as_str().unwrap())
        .env(
            "VAULT_SECRET_ID",
            secret["data"]["secret_id"].as_str().unwrap(),
        );
    (program, pki)
}

fn certificate(pki: &str) -> String {
    format!(">>vault:{pki}/issue/web#serial_number#{{\"common_name\":\"a.example\"}}")
}

/// How often a path was asked for since `before` requests.
fn count(vault: &Vault, before: usize, wanted: &str) -> usize {
    vault.audit()[before..]
        .iter()
        .filter(|(_, path)| path == wanted)
        .count()
}

fn leases(vault: &Vault, pki: &str) -> usize {
    let (_, reply) = vault.try_api(
        "LIST",
        &format!("sys/leases/lookup/{pki}/issue/web"),
        &json!(null),
    );
    reply["data"]["keys"].as_array().map_or(0, Vec::len)
}

/// The launcher does not wait for the answer for long.
fn one_token_is_revoked(vault: &Vault, before: usize) {
    let one = || (count(vault, before, "auth/token/revoke-self") == 1).then_some(());
    eventually("the revocation of one token", SOON, one);
}

/// The server revokes the leases of a revoked token in the background.
fn no_lease_is_left(vault: &Vault, pki: &str) {
    let none = || (leases(vault, pki) == 0).then_some(());
    eventually("the leases to be revoked", SOON, none);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn the_token_of_a_plain_start_is_revoked() {
    let vault = Vault::dev();
    let (program, _) = leasing(&vault, "run");
    let before = vault.audit().len();
    program
        .env("A", "vault:secret/data/lease#k")
        .run()
        .success();
    one_token_is_revoked(&vault, before);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_lease_keeps_its_token_alive() {
    let vault = Vault::dev();
    let (program, pki) = leasing(&vault, "run");
    let before = vault.audit().len();
    program.env("SERIAL", certificate(&pki)).run().success();
    assert_eq!(count(&vault, before, "auth/token/revoke-self"), 0);
    assert_eq!(leases(&vault, &pki), 1);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_failed_start_leaves_nothing_behind() {
    let vault = Vault::dev();
    let (program, pki) = leasing(&vault, "run");
    let before = vault.audit().len();
    // Both are refused only after everything was created: a key that the reply lacks, and a value too long for the kernel.
    let refused = program
        .clone()
        .env("A", certificate(&pki).replace("serial_number", "absent"))
        .run();
    refused.expect_code(66).stderr_has("has no key `absent`");
    assert_eq!(count(&vault, before, &format!("{pki}/issue/web")), 1);
    one_token_is_revoked(&vault, before);
    no_lease_is_left(&vault, &pki);
    let refused = program
        .env("SERIAL", certificate(&pki))
        .env("LONG", "vault:secret/data/lease#long")
        .run();
    refused.expect_code(65).stderr_has("LONG (from ");
    no_lease_is_left(&vault, &pki);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_check_leaves_nothing_behind() {
    let vault = Vault::dev();
    let (program, pki) = leasing(&vault, "check");
    let check = program.env("SERIAL", certificate(&pki)).run();
    check.success().stdout_has("SERIAL");
    no_lease_is_left(&vault, &pki);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn the_token_can_be_handed_on() {
    let vault = Vault::dev();
    let (program, _) = leasing(&vault, "run");
    let before = vault.audit().len();
    let report = program
        .env("VAULT_TOKEN", "vault:login")
        .env("VAULT_ROLE", "x")
        .run()
        .success()
        .report();
    let token = report
        .env("VAULT_TOKEN")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    assert!(vault.accepts(&token));
    assert_eq!(
        report.env("VAULT_ADDR").unwrap(),
        vault.address(),
        "who has the token needs the address"
    );
    assert_eq!(report.env("VAULT_SECRET_ID"), None);
    assert_eq!(count(&vault, before, "auth/token/revoke-self"), 0);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn one_login_serves_all() {
    let vault = Vault::dev();
    let (mut program, _) = leasing(&vault, "run");
    for number in 0..20 {
        vault.put_kv2(&format!("many/{number}"), &json!({"k": number}));
        program = program.env(
            format!("V{number}"),
            format!("vault:secret/data/many/{number}#k"),
        );
    }
    let before = vault.audit().len();
    assert_eq!(program.run().success().report().environ.len(), 20);
    let logins = vault.audit()[before..]
        .iter()
        .filter(|(_, path)| path.ends_with("/login"))
        .count();
    assert_eq!(logins, 1);
}
