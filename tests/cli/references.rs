//! References that fail before any server is asked. What they resolve to is in tests/servers.

use envlatch_test_support::{Answer, ScriptedServer};

use crate::run;

#[test]
fn a_start_that_needs_no_server_contacts_none() {
    let server = ScriptedServer::http(|_| Answer::Close);
    let program = run(&[])
        .env("VAULT_ADDR", server.url())
        .env("VAULT_ROLE", "app")
        .env("VAULT_AUTH_METHOD", "kubernetes")
        .env("A", "plain");
    program.run().success();
    assert!(server.requests().is_empty());
}

#[cfg(feature = "vault")]
#[test]
fn bad_references_and_settings_are_reported_before_any_server_is_asked() {
    let server = ScriptedServer::http(|_| Answer::Close);
    let program = run(&["--dir", "/absent"])
        .env("VAULT_ADDR", server.url())
        .env("VAULT_TOKEN", "t")
        .env("A", "vault:secret/data/app#k");
    program
        .env("B", "vault:bad")
        .run()
        .expect_code(65)
        .stderr_has("B: column 7")
        .stderr_has("/absent");
    assert!(server.requests().is_empty());
}

#[test]
fn the_login_token_goes_nowhere_else() {
    run(&[])
        .env("A", "vault:login")
        .run()
        .expect_code(65)
        .stderr_has("A: asks for the login's own token, which only VAULT_TOKEN");
}

#[test]
fn a_ciphertext_without_a_key_is_named() {
    run(&[])
        .env("A", "vault:v1:aGVsbG8=")
        .run()
        .expect_code(65)
        .stderr_has("A: holds a transit ciphertext, but no key is set");
}

#[test]
fn plain_text_is_no_reference() {
    let refused = run(&["--env", "A=secret/data/app#hunter2"]).run();
    refused
        .expect_code(65)
        .stderr_has("--env: A: column 1: holds no reference")
        .stderr_lacks("hunter2");
    run(&["--env", "hunter2"])
        .run()
        .expect_code(78)
        .stderr_has("--env: write NAME=REF")
        .stderr_lacks("hunter2");
}

#[cfg(not(feature = "vault"))]
#[test]
fn a_files_only_build_says_so() {
    run(&[])
        .env("A", "vault:secret/data/app#k")
        .run()
        .expect_code(78)
        .stderr_has("was built to read files only");
    run(&["--addr", "x"])
        .run()
        .expect_code(64)
        .stderr_has("--addr");
}
