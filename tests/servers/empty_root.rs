//! The static binary in a root that holds nothing else: no C library, no /etc, no certificate.

use std::fs;
use std::path::Path;

use envlatch_test_support::{Program, TempDir, Vault, executable, test_child};
use serde_json::json;

/// A root with the launcher and the test child, and a program that starts the launcher in it.
pub(crate) fn empty_root(vault: &Vault) -> (TempDir, Program) {
    let root = TempDir::new().unwrap();
    let binary = std::env::var_os("ENVLATCH_BIN")
        .expect("ENVLATCH_BIN names the static binary; scripts/test servers sets it");
    for (name, program) in [("envlatch", Path::new(&binary)), ("child", test_child())] {
        executable(&root.path().join(name), &fs::read(program).unwrap());
    }
    vault.put_kv2("root", &json!({"k": "v"}));
    let program = Program::new(Path::new("/usr/bin/unshare"))
        .args(["--map-root-user", "--root"])
        .arg(root.path())
        .args([
            "/envlatch",
            "run",
            "--timeout",
            "8s",
            "--",
            "/child",
            "report",
        ])
        .env("VAULT_ADDR", vault.address())
        .env("VAULT_TOKEN", vault.root_token())
        .env("A", "vault:secret/data/root#k");
    (root, program)
}

pub(crate) fn write(root: &TempDir, path: &str, content: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn succeeds(program: &Program) {
    assert_eq!(program.run().success().report().env("A").unwrap(), "v");
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn plain_and_tls_with_both_forms_of_authority() {
    let (_root, program) = empty_root(Vault::shared_dev());
    succeeds(&program);
    let vault = Vault::shared_tls();
    let (root, program) = empty_root(vault);
    succeeds(&program.clone().env("VAULT_CACERT_BYTES", vault.ca_pem()));
    write(&root, "ca.pem", &vault.ca_pem());
    succeeds(&program.env("VAULT_CACERT", "/ca.pem"));
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn without_certificates_the_remedy_is_named() {
    let (_root, program) = empty_root(Vault::shared_tls());
    let refused = program.run();
    refused
        .stderr_has("VAULT_CACERT_BYTES")
        .stderr_has("VAULT_CACERT");
    assert!(matches!(refused.code, Some(69 | 78)), "{:?}", refused.code);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn names_are_resolved_without_a_c_library() {
    let vault = Vault::shared_dev();
    let port = vault.address().rsplit(':').next().unwrap().to_owned();
    let (root, program) = empty_root(vault);
    succeeds(
        &program
            .clone()
            .env("VAULT_ADDR", format!("http://localhost:{port}")),
    );
    write(&root, "etc/hosts", "127.0.0.1 vault.internal vault\n");
    succeeds(
        &program
            .clone()
            .env("VAULT_ADDR", format!("http://vault.internal:{port}")),
    );
    let refused = program
        .env("VAULT_ADDR", format!("http://absent.internal:{port}"))
        .run();
    refused
        .expect_code(69)
        .stderr_has("absent.internal")
        .stderr_has("resolv.conf");
}
