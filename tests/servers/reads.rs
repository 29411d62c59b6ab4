//! What references and paths give.

use envlatch_test_support::{Vault, eventually};
use serde_json::json;

use crate::{SOON, run, run_as_root, unique};

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn references_become_values() {
    let vault = Vault::shared_dev();
    let path = unique("app");
    vault.put_kv2(&path, &json!({"user": "bob", "password": "a b&c", "port": 5432, "nothing": null, "map": {"a": [1]}, "with-dash": "d"}));
    let program = run_as_root(vault, &["--env", &format!("E=vault:secret/data/{path}#user")])
        .env("A", format!("vault:secret/data/{path}#password"))
        .env("B", format!("postgres://${{vault:secret/data/{path}#user}}:${{vault:secret/data/{path}#${{.password | urlquery}}}}@h"))
        .env("C", format!("secrets-store:secret/data/{path}#${{.user}}:${{.port}}"))
        .env("D", format!("bao:secret/data/{path}#/map/a/0"))
        .env("F", format!("vault:secret/data/{path}#nothing"))
        .env("G", format!("vault:secret/data/{path}#map"))
        .env("H", format!("vault:secret/data/{path}#with-dash"));
    let report = program.run().success().report();
    assert_eq!(
        report.environ,
        [
            "A=a b&c",
            "B=postgres://bob:a+b%26c@h",
            "C=bob:5432",
            "D=1",
            "E=bob",
            "F=",
            "G={\"a\":[1]}",
            "H=d"
        ],
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn each_path_is_read_once() {
    let vault = Vault::dev();
    vault.put_kv2("one", &json!({"a": "1", "b": "2"}));
    let program = run_as_root(&vault, &["--from", "secret/data/one"])
        .env("A", "vault:secret/data/one#a")
        .env("B", "${vault:secret/data/one#a}${vault:secret/data/one#b}");
    program.run().success();
    let reads: Vec<_> = vault
        .audit()
        .into_iter()
        .filter(|(_, path)| path == "secret/data/one")
        .collect();
    assert_eq!(reads, [("read".to_owned(), "secret/data/one".to_owned())]);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn versions_are_kept_apart() {
    let vault = Vault::shared_dev();
    let path = unique("versions");
    for value in ["one", "two"] {
        vault.put_kv2(&path, &json!({"k": value}));
    }
    let program = run_as_root(vault, &[])
        .env("OLD", format!("vault:secret/data/{path}#k#1"))
        .env("NEW", format!("vault:secret/data/{path}#k"));
    assert_eq!(
        program.run().success().report().environ,
        ["NEW=two", "OLD=one"]
    );
    let check = envlatch_test_support::launcher_at(env!("CARGO_BIN_EXE_envlatch"))
        .args(["check", "--from", &format!("secret/data/{path}#1")])
        .env("VAULT_ADDR", vault.address())
        .env("VAULT_TOKEN", vault.root_token());
    check.run().success().stdout_has(&format!(
        "k     vault:secret/data/{path}#k        1       3"
    ));
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn all_keys_of_a_path_become_variables() {
    let vault = Vault::shared_dev();
    let (first, second) = (unique("bulk"), unique("bulk"));
    vault.put_kv2(&first, &json!({"db-password": "p", "port": 1}));
    vault.put_kv2(&second, &json!({"port": 2, "on": true}));
    let from = [
        format!("secret/data/{first}"),
        format!("secret/data/{second}"),
    ];
    let options = [
        "--from", &from[0], "--from", &from[1], "--names", "upper", "--prefix", "X_",
    ];
    assert_eq!(
        run_as_root(vault, &options)
            .run()
            .success()
            .report()
            .environ,
        ["X_DB_PASSWORD=p", "X_ON=true", "X_PORT=2"]
    );
    vault.put_kv2(
        &second,
        &json!({"nothing": null, "list": [1], "LD_PRELOAD": "x"}),
    );
    let refused = run_as_root(vault, &["--from", &from[1]]).run();
    refused
        .expect_code(78)
        .stderr_has("`nothing` is a null")
        .stderr_has("`list` is an array")
        .stderr_has("LD_PRELOAD loads code");
    let only = run_as_root(
        vault,
        &[
            "--from",
            &from[1],
            "--only",
            "LD_*",
            "--allow-name",
            "LD_PRELOAD",
        ],
    );
    assert_eq!(only.run().success().report().environ, ["LD_PRELOAD=x"]);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn l19_kv_v1_with_a_key_called_data() {
    let vault = Vault::shared_dev();
    let path = unique("v1");
    vault.put_kv1(&path, &json!({"data": "d", "k": "v"}));
    let program = run_as_root(vault, &["--from", &format!("kv/{path}")])
        .env("A", format!("vault:kv/{path}#k"));
    assert_eq!(
        program.run().success().report().environ,
        ["A=v", "data=d", "k=v"]
    );
    vault.put_kv1(
        &path,
        &json!({"data": {"k": "inner"}, "metadata": {"version": 1}}),
    );
    let whole = run_as_root(vault, &[]).env("A", format!("vault:kv/{path}#/data/k"));
    assert_eq!(whole.run().success().report().environ, ["A=inner"]);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn l20_deleted_and_destroyed_versions() {
    let vault = Vault::shared_dev();
    let path = unique("gone");
    vault.put_kv2(&path, &json!({"k": "one"}));
    vault.put_kv2(&path, &json!({"k": "two"}));
    vault.api("DELETE", &format!("secret/data/{path}"), &json!({}));
    vault.api(
        "POST",
        &format!("secret/destroy/{path}"),
        &json!({"versions": [1]}),
    );
    let reference = |version: &str| {
        run_as_root(vault, &[]).env("A", format!("vault:secret/data/{path}#k{version}"))
    };
    reference("")
        .run()
        .expect_code(66)
        .stderr_has("version 2")
        .stderr_has("deleted");
    reference("#1")
        .run()
        .expect_code(66)
        .stderr_has("version 1")
        .stderr_has("destroyed");
    assert_eq!(
        reference(":-default").run().success().report().environ,
        ["A=default"]
    );
    assert!(reference("?").run().success().report().environ.is_empty());
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn what_is_definitely_absent_may_be() {
    let vault = Vault::shared_dev();
    let path = unique("present");
    vault.put_kv2(&path, &json!({"k": "v"}));
    let absent = |options: &[&str], rest: &str| {
        run_as_root(vault, options)
            .env("A", format!("vault:secret/data/{path}-absent#k{rest}"))
            .env("B", format!("x${{vault:secret/data/{path}#absent{rest}}}"))
    };
    let refused = absent(&[], "").run();
    refused
        .expect_code(66)
        .stderr_has("2 problems")
        .stderr_has("A: ")
        .stderr_has("B: ")
        .stderr_has("has no key `absent`");
    assert!(absent(&[], "?").run().success().report().environ.is_empty());
    assert_eq!(
        absent(&[], ":-d").run().success().report().environ,
        ["A=d", "B=xd"]
    );
    assert!(
        absent(&["--ignore-missing"], "")
            .run()
            .success()
            .report()
            .environ
            .is_empty()
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_denial_is_never_taken_for_absence() {
    let vault = Vault::shared_dev();
    vault.policy(
        "nothing",
        "path \"cubbyhole/x\" { capabilities = [\"read\"] }",
    );
    let token = vault.token(&["nothing"], "5m");
    let program = run(vault, &["--ignore-missing"])
        .env("VAULT_TOKEN", token)
        .env("A", "vault:secret/data/x#k?");
    program
        .run()
        .expect_code(77)
        .stderr_has("secret/data/x")
        .stderr_has("permission denied");
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_path_without_data_is_explained() {
    let vault = Vault::shared_dev();
    let program = run_as_root(vault, &[]).env("A", "vault:secret/app#k");
    // What was meant is asked for, but not for long.
    eventually("an explanation", SOON, || {
        let refused = program.run();
        let text = refused.expect_code(66).stderr_text();
        text.contains("did you mean secret/data/app").then_some(())
    });
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn l17_what_came_from_the_server_is_not_expanded_again() {
    let vault = Vault::shared_dev();
    let path = unique("nested");
    let value = format!("vault:secret/data/{path}#other ${{vault:secret/data/{path}#other}}");
    vault.put_kv2(&path, &json!({"k": value, "other": "expanded"}));
    let program = run_as_root(vault, &[])
        .env("A", format!("vault:secret/data/{path}#k"))
        .env("B", format!("<${{vault:secret/data/{path}#k}}>"));
    assert_eq!(
        program.run().success().report().environ,
        [format!("A={value}"), format!("B=<{value}>")].map(std::ffi::OsString::from)
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn settings_of_the_launcher_do_not_reach_the_program() {
    let vault = Vault::shared_dev();
    let path = unique("clean");
    vault.put_kv2(&path, &json!({"k": "v"}));
    let program = run_as_root(vault, &[])
        .env("A", format!("vault:secret/data/{path}#k"))
        .env("VAULT_ROLE", "app")
        .env("VAULT_CLIENT_TIMEOUT", "10s")
        .env("VAULT_OF_THE_APP", "stays");
    assert_eq!(
        program.run().success().report().names(),
        ["A", "VAULT_OF_THE_APP"]
    );
    assert_eq!(
        program
            .env("ENVLATCH_PASS", "VAULT_ADDR")
            .run()
            .success()
            .report()
            .names(),
        ["A", "VAULT_ADDR", "VAULT_OF_THE_APP"]
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn sources_have_their_precedence() {
    let vault = Vault::shared_dev();
    let path = unique("precedence");
    vault.put_kv2(&path, &json!({"A": "from", "B": "from", "C": "from"}));
    let files = envlatch_test_support::CsiVolume::new(&[("A", b"dir"), ("D", b"dir")]);
    let (from, explicit) = (
        format!("secret/data/{path}"),
        format!("C=vault:secret/data/{path}#A"),
    );
    let options = [
        "--dir",
        files.path().to_str().unwrap(),
        "--from",
        &from,
        "--env",
        &explicit,
    ];
    let program = run_as_root(vault, &options)
        .env("B", format!("${{vault:secret/data/{path}#A}}!"))
        .env("D", "inherited");
    assert_eq!(
        program.run().success().report().environ,
        ["A=from", "B=from!", "C=from", "D=dir"]
    );
}
