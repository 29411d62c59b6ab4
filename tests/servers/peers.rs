//! Manifests that were written for other launchers.

use envlatch_test_support::{Vault, eventually};
use serde_json::json;

use crate::{SOON, run, run_as_root, unique};

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn all_keys_of_a_path_by_the_peers_variable() {
    let vault = Vault::shared_dev();
    let path = unique("peers");
    vault.put_kv2(&path, &json!({"A": "old"}));
    vault.put_kv2(&path, &json!({"A": "bulk", "B": "bulk"}));
    let program = run_as_root(vault, &[])
        .env("VAULT_ENV_FROM_PATH", format!("secret/data/{path}"))
        .env("B", format!("vault:secret/data/{path}#A"));
    assert_eq!(
        program.run().success().report().environ,
        ["A=bulk", "B=bulk"],
        "their documentation lets the path win"
    );
    let version = run_as_root(vault, &[]).env("VAULT_FROM_PATH", format!("secret/data/{path}#1"));
    assert_eq!(version.run().success().report().environ, ["A=old"]);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn missing_secrets_are_ignored_where_a_manifest_says_so() {
    let vault = Vault::shared_dev();
    let path = unique("ignored");
    vault.put_kv2(&path, &json!({"k": "v"}));
    vault.put_kv2(&format!("{path}-gone"), &json!({"k": "v"}));
    vault.api("DELETE", &format!("secret/data/{path}-gone"), &json!(null));
    let program = run_as_root(vault, &[])
        .env("VAULT_IGNORE_MISSING_SECRETS", "true")
        .env("A", format!("vault:secret/data/{path}#k"))
        .env("B", format!("vault:secret/data/{path}-absent#k"))
        .env("C", format!("<${{vault:secret/data/{path}-absent#k}}>"))
        .env("D", format!("vault:secret/data/{path}-gone#k"))
        .env("E", format!("vault:secret/data/{path}#absent"))
        .env("VAULT_ENV_FROM_PATH", format!("secret/data/{path}-absent"));
    assert_eq!(
        program.run().success().report().environ,
        ["A=v"],
        "never the text of a reference"
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_vault_and_an_openbao_side_by_side() {
    let (vault, bao) = (Vault::shared_dev(), Vault::dev());
    let path = unique("sides");
    vault.put_kv2(&path, &json!({"k": "from vault"}));
    bao.put_kv2(&path, &json!({"k": "from bao"}));
    let program = run(vault, &[])
        .env("VAULT_TOKEN", vault.root_token())
        .env("BAO_ADDR", bao.address())
        .env("BAO_TOKEN", bao.root_token())
        .env("A", format!("vault:secret/data/{path}#k"))
        .env("B", format!("bao:secret/data/{path}#k"));
    assert_eq!(
        program.run().success().report().environ,
        ["A=from vault", "B=from bao"]
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn openbaos_names_alone_serve_every_scheme() {
    let bao = Vault::shared_dev();
    let path = unique("bao");
    bao.put_kv2(&path, &json!({"k": "v"}));
    let program = envlatch_test_support::launcher_at(env!("CARGO_BIN_EXE_envlatch"))
        .args(["run", "--"])
        .arg(envlatch_test_support::test_child())
        .arg("report")
        .env("BAO_ADDR", bao.address())
        .env("BAO_TOKEN", bao.root_token())
        .env("A", format!("vault:secret/data/{path}#k"))
        .env("B", format!("bao:secret/data/{path}#k"));
    assert_eq!(program.run().success().report().environ, ["A=v", "B=v"]);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn passthrough_and_revocation_as_a_manifest_asks() {
    let vault = Vault::shared_dev();
    let path = unique("pass");
    vault.put_kv2(&path, &json!({"k": "v"}));
    let token = vault.token(&["root"], "5m");
    let program = run(vault, &[])
        .env("VAULT_TOKEN", &token)
        .env("VAULT_REVOKE_TOKEN", "true")
        .env("VAULT_ENV_PASSTHROUGH", "VAULT_ADDR")
        .env("A", format!("vault:secret/data/{path}#k"));
    assert_eq!(
        program.run().success().report().names(),
        ["A", "VAULT_ADDR"]
    );
    // The launcher does not wait for the answer for long.
    eventually("the revocation", SOON, || {
        (!vault.accepts(&token)).then_some(())
    });
}
