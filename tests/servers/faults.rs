//! Faults of a real server. Those that a real one cannot produce are in tests/faults.

use std::time::Duration;

use envlatch_test_support::{Program, Vault, VaultCluster, eventually, within};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::json;

use crate::{SOON, run, run_as_root, unique, userpass};

/// Far less than the launcher tries to reach a server, and enough on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(15);

fn reading(vault: &Vault, options: &[&str]) -> Program {
    run_as_root(vault, options).env("A", "vault:secret/data/fault#k")
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn f01_nobody_listens() {
    let vault = Vault::dev();
    vault.put_kv2("fault", &json!({"k": "v"}));
    vault.stop();
    let refused = reading(&vault, &[]).env("VAULT_MAX_RETRIES", "1").run();
    refused
        .expect_code(69)
        .stderr_has("A: ")
        .stderr_has(vault.address())
        .stderr_has("connection refused");
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn f02_sealed_and_unsealed_in_time() {
    let vault = Vault::dev();
    vault.put_kv2("fault", &json!({"k": "v"}));
    vault.seal();
    reading(&vault, &[])
        .env("VAULT_MAX_RETRIES", "1")
        .run()
        .expect_code(69)
        .stderr_has("sealed");
    let waiting = reading(&vault, &["--timeout", "60s"]).spawn();
    std::thread::sleep(Duration::from_millis(500));
    vault.unseal();
    let report = waiting.wait_within(SOON).success().report();
    assert_eq!(report.environ, ["A=v"]);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn f02_rate_limited() {
    let vault = Vault::dev();
    vault.put_kv2("fault", &json!({"k": "v"}));
    vault.api(
        "POST",
        "sys/quotas/rate-limit/tight",
        &json!({"path": "secret", "rate": 1.0, "interval": "1s"}),
    );
    let mut program = run_as_root(&vault, &["--timeout", "60s"]);
    for number in 0..4 {
        vault.api("DELETE", "sys/quotas/rate-limit/tight", &json!(null));
        vault.put_kv2(&format!("rate/{number}"), &json!({"k": number}));
        vault.api(
            "POST",
            "sys/quotas/rate-limit/tight",
            &json!({"path": "secret", "rate": 1.0, "interval": "1s"}),
        );
        program = program.env(
            format!("V{number}"),
            format!("vault:secret/data/rate/{number}#k"),
        );
    }
    assert_eq!(
        program
            .deadline(Duration::from_secs(90))
            .run()
            .success()
            .report()
            .environ
            .len(),
        4
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn f02_a_standby_and_a_dead_node_are_passed_over() {
    let cluster = VaultCluster::start(3);
    cluster.put_kv2("fault", &json!({"k": "v"}));
    let active = cluster.active();
    let addresses = cluster.addresses().join(",");
    let program = run_as_root(active, &["--addr", &addresses, "--timeout", "60s"])
        .env("A", "vault:secret/data/fault#k")
        .deadline(Duration::from_secs(90));
    assert_eq!(program.run().success().report().environ, ["A=v"]);
    active.stop();
    assert_eq!(program.run().success().report().environ, ["A=v"]);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn f03_denied() {
    let vault = Vault::shared_dev();
    let (auth, path) = (userpass(vault, "pw"), unique("denied"));
    let program = run(vault, &["--auth", "userpass", "--auth-mount", &auth])
        .env("VAULT_USERNAME", "bob")
        .env("VAULT_PASSWORD", "pw")
        .env("A", format!("vault:{path}/x#k"));
    let refused = program.run();
    refused
        .expect_code(77)
        .stderr_has(&format!("{path}/x"))
        .stderr_has(&auth)
        .stderr_has("permission denied");
    let logins = vault
        .audit()
        .into_iter()
        .filter(|(_, path)| *path == format!("auth/{auth}/login/bob"))
        .count();
    assert_eq!(logins, 2, "one re-login, and no more");
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn f04_tls_that_cannot_be_trusted() {
    let vault = Vault::shared_tls();
    let stranger = Vault::shared_dev();
    let other = envlatch_test_support::Authority::new();
    let reading = || {
        run(vault, &["--timeout", "20s"])
            .env("VAULT_TOKEN", vault.root_token())
            .env("A", "vault:secret/data/fault#k")
    };
    reading()
        .env("VAULT_CACERT_BYTES", other.pem())
        .run()
        .expect_code(69)
        .stderr_has("VAULT_CACERT")
        .stderr_has(vault.address());
    let wrong_name = reading()
        .env("VAULT_CACERT", vault.ca_file())
        .env("VAULT_TLS_SERVER_NAME", "other.example")
        .run();
    wrong_name.expect_code(69).stderr_has("for another name");
    let plaintext = reading()
        .env(
            "VAULT_ADDR",
            stranger.address().replace("http://", "https://"),
        )
        .env("VAULT_CACERT", vault.ca_file())
        .run();
    plaintext.expect_code(69).stderr_has("http");
    reading()
        .env("VAULT_CACERT", "/absent/ca")
        .run()
        .expect_code(78)
        .stderr_has("VAULT_CACERT")
        .stderr_has("/absent/ca");
    reading()
        .env("VAULT_CACERT_BYTES", "no certificate")
        .run()
        .expect_code(78)
        .stderr_has("VAULT_CACERT_BYTES");
    let skipped = reading()
        .env("VAULT_SKIP_VERIFY", "true")
        .env("A", "vault:sys/health#initialized")
        .run();
    skipped.stderr_has("VAULT_SKIP_VERIFY");
    reading()
        .env("VAULT_SKIP_VERIFY", "off")
        .run()
        .expect_code(78)
        .stderr_has("VAULT_SKIP_VERIFY");
}

/// Whether a process has a handler for `signal` (proc_pid_status(5)).
fn handles(pid: Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught & (1 << (signal as i32 - 1)) != 0
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn f06_terminated_while_the_server_does_not_answer() {
    let vault = Vault::dev();
    vault.put_kv2("fault", &json!({"k": "v"}));
    vault.freeze();
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let waiting = reading(&vault, &["--log-level", "debug"]).spawn();
        eventually("the launcher to handle signals", SOON, || {
            handles(waiting.pid(), signal).then_some(())
        });
        // Now it is about to ask.
        std::thread::sleep(Duration::from_millis(300));
        waiting.kill(signal);
        waiting.wait_within(AT_ONCE).expect_code(code);
    }
    vault.thaw();
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn f06_terminated_after_the_login_the_token_is_revoked() {
    let vault = Vault::dev();
    let auth = userpass(&vault, "pw");
    // Every read is limited away, so the launcher is between its login and the end of its budget.
    vault.put_kv2("fault", &json!({"k": "v"}));
    vault.api(
        "POST",
        "sys/quotas/rate-limit/none",
        &json!({"path": "secret", "rate": 0.001, "interval": "1h"}),
    );
    let program = run(&vault, &["--auth", "userpass", "--auth-mount", &auth])
        .env("VAULT_USERNAME", "bob")
        .env("VAULT_PASSWORD", "pw")
        .env("A", "vault:secret/data/fault#k")
        .env("B", "vault:secret/data/fault#k#1");
    // Otherwise nobody sees them; the first one shows that the launcher has the reply to its login.
    vault.api(
        "POST",
        "sys/quotas/config",
        &json!({"enable_rate_limit_audit_logging": true}),
    );
    let asked = |wanted: &str| {
        let audit = vault.audit();
        audit.iter().filter(|(_, path)| path == wanted).count()
    };
    // On a busy machine the moment that the launcher waits for may be too short for the request to leave.
    let revoked = (0..5).any(|_| {
        let before = asked("secret/data/fault");
        let waiting = program.spawn();
        eventually("a read", SOON, || {
            (asked("secret/data/fault") > before).then_some(())
        });
        waiting.kill(Signal::SIGTERM);
        waiting.wait_within(AT_ONCE).expect_code(143);
        let revoked = || (asked("auth/token/revoke-self") > 0).then_some(());
        within(Duration::from_secs(2), revoked).is_some()
    });
    assert!(revoked);
}
