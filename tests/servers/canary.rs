//! No value ever reaches an output, in any form, at the most verbose level.

use envlatch_test_support::{Vault, assert_no_canary, canary, test_child};
use serde_json::json;

use crate::{run, unique, userpass};

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn no_output_holds_a_value() {
    let vault = Vault::shared_dev();
    let path = unique("canary");
    let (value, password, file, token) = (canary(), canary(), canary(), canary());
    let auth = userpass(vault, &password);
    vault.put_kv2(&path, &json!({"k": value, "map": {"inner": value}}));
    let files = envlatch_test_support::CsiVolume::new(&[
        ("F", file.as_bytes()),
        ("G", format!("{file}\0").as_bytes()),
    ]);
    let log = envlatch_test_support::TempDir::new().unwrap();
    let last_words = log.path().join("termination-log");
    std::fs::write(&last_words, "").unwrap();
    let program = |level: &str, format: &str| {
        run(
            vault,
            &[
                "--auth",
                "userpass",
                "--auth-mount",
                &auth,
                "--log-level",
                level,
                "--log-format",
                format,
                "--timeout",
                "20s",
            ],
        )
        .env("ENVLATCH_TERMINATION_LOG", &last_words)
        .env("VAULT_USERNAME", "bob")
        .env("VAULT_PASSWORD", &password)
    };
    let whole = format!("vault:secret/data/{path}#k");
    let quiet_child = |program: envlatch_test_support::Program| program.env("A", &whole);
    let canaries = [&value, &password, &file, &token];
    let faulty = [
        ("absent key", format!("vault:secret/data/{path}#absent")),
        ("absent path", format!("vault:secret/data/{path}-absent#k")),
        ("denied", format!("vault:sys/raw/{path}#k")),
        (
            "template",
            format!("vault:secret/data/{path}#${{.k | b64dec}}"),
        ),
        (
            "template on a map",
            format!("vault:secret/data/{path}#${{.map.inner.more}}"),
        ),
        ("malformed", format!("vault:{value}")),
        (
            "write",
            format!(">>vault:sys/raw/{path}#k#{{\"password\":\"{value}\"}}"),
        ),
    ];
    for (level, format) in [("trace", "text"), ("trace", "json")] {
        for (what, reference) in &faulty {
            let finished = program(level, format).env("A", reference).run();
            assert_ne!(finished.code, Some(0), "{what}");
            assert_no_canary(
                &[
                    (what, finished.output()),
                    ("termination log", std::fs::read(&last_words).unwrap()),
                ],
                &canaries,
            );
        }
        let wrong_password = program(level, format)
            .env("VAULT_PASSWORD", &token)
            .env("A", &whole)
            .run();
        assert_no_canary(&[("wrong password", wrong_password.output())], &canaries);
        let bad_token = run(vault, &["--log-level", level])
            .env("VAULT_TOKEN", &token)
            .env("A", &whole)
            .run();
        assert_no_canary(&[("bad token", bad_token.output())], &canaries);
        let nul = program(level, format)
            .env("ENVLATCH_DIR", files.path())
            .env("A", &whole)
            .run();
        nul.expect_code(65);
        assert_no_canary(&[("NUL", nul.output())], &canaries);
        // The child says nothing here, so whatever is said is the launcher's.
        let started = envlatch_test_support::launcher_at(env!("CARGO_BIN_EXE_envlatch"))
            .args([
                "run",
                "--log-level",
                level,
                "--log-format",
                format,
                "--auth",
                "userpass",
                "--auth-mount",
                &auth,
                "--",
            ])
            .arg(test_child())
            .args(["exit", "0"])
            .env("VAULT_ADDR", vault.address())
            .env("VAULT_USERNAME", "bob")
            .env("VAULT_PASSWORD", &password);
        let started = quiet_child(started).run();
        started.success().stderr_has("secret/data");
        assert_no_canary(&[("success", started.output())], &canaries);
    }
    let check = envlatch_test_support::launcher_at(env!("CARGO_BIN_EXE_envlatch"))
        .args([
            "check",
            "--json",
            "--log-level",
            "trace",
            "--from",
            &format!("secret/data/{path}"),
            "--except",
            "map",
        ])
        .env("VAULT_ADDR", vault.address())
        .env("VAULT_TOKEN", vault.root_token())
        .run();
    check.success();
    assert_no_canary(&[("check", check.output())], &canaries);
    assert_no_canary(&[("check's token", check.output())], &[vault.root_token()]);
}
