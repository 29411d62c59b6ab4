//! The launcher that stays, with a real Vault: values that change, tokens, certificates, outages.

mod database;

use std::time::{Duration, Instant};

use envlatch_test_support::{
    Program, Running, Vault, canary, eventually, launcher_at, memory_holds,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{SOON, unique};

/// Prints what it was given, and each SIGHUP; ends at SIGTERM.
const PRINTS: &str = "trap 'echo hup' HUP; trap 'echo bye; exit 0' TERM; echo \"value $VALUE\"; while :; do sleep 0.05; done";

/// The launcher with a login of its own, acting at once, beside a shell that prints.
fn stays(vault: &Vault, options: &[&str]) -> Program {
    stays_with_token_of("1h", vault, options)
}

/// The same with a token that lives for `ttl` without renewal.
fn stays_with_token_of(ttl: &str, vault: &Vault, options: &[&str]) -> Program {
    let mount = unique("approle");
    let policy = unique("stays");
    vault.policy(
        &policy,
        "path \"secret/data/*\" { capabilities = [\"read\"] } path \"database/creds/app\" { capabilities = [\"read\"] } path \"pki/issue/web\" { capabilities = [\"update\"] }",
    );
    vault.api(
        "POST",
        &format!("sys/auth/{mount}"),
        &json!({"type": "approle"}),
    );
    let role = json!({"token_policies": [policy], "token_ttl": ttl, "token_max_ttl": "1h"});
    vault.api("POST", &format!("auth/{mount}/role/app"), &role);
    let role_id = vault.api(
        "GET",
        &format!("auth/{mount}/role/app/role-id"),
        &Value::Null,
    );
    let secret_id = vault.api(
        "POST",
        &format!("auth/{mount}/role/app/secret-id"),
        &json!({}),
    );
    launcher_at(env!("CARGO_BIN_EXE_envlatch"))
        .args([
            "run",
            "--splay",
            "0s",
            "--poll-interval",
            "1s",
            "--auth",
            "approle",
            "--auth-mount",
            &mount,
        ])
        .args(options)
        .args(["--", "/bin/sh", "-c", PRINTS])
        .env("PATH", "/usr/bin:/bin")
        .env("ENVLATCH_ON_CHANGE", "restart")
        .env("VAULT_ADDR", vault.address())
        .env(
            "VAULT_ROLE_ID",
            role_id["data"]["role_id"].as_str().unwrap(),
        )
        .env(
            "VAULT_SECRET_ID",
            secret_id["data"]["secret_id"].as_str().unwrap(),
        )
        .deadline(Duration::from_secs(120))
}

/// The values that the program has printed so far, in order.
fn values(running: &Running) -> Vec<String> {
    let output = String::from_utf8(running.stdout_so_far()).unwrap();
    let values = output
        .lines()
        .filter_map(|line| line.strip_prefix("value "));
    values.map(str::to_owned).collect()
}

fn count(vault: &Vault, wanted: impl Fn(&str) -> bool) -> usize {
    vault
        .audit()
        .iter()
        .filter(|(_, path)| wanted(path))
        .count()
}

/// The launcher does not wait for the answer for long.
fn one_token_is_revoked(vault: &Vault) {
    eventually("the revocation of one token", SOON, || {
        (count(vault, |path| path == "auth/token/revoke-self") == 1).then_some(())
    });
}

fn put(vault: &Vault, value: &str) {
    vault.put_kv2("app", &json!({"k": value}));
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_sealed_server_is_said_once_and_caught_up_with() {
    let vault = Vault::dev();
    put(&vault, "one");
    // A failure is told after three requests. One that is left unanswered while the server is being sealed is given up.
    let mut running = stays(&vault, &[])
        .env("VAULT_CLIENT_TIMEOUT", "10s")
        .env("VAULT_MAX_RETRIES", "2")
        .env("VALUE", "vault:secret/data/app#k")
        .spawn();
    running.wait_for_stdout("value one");
    vault.seal();
    running.wait_for_stderr("cannot refresh; the program goes on with what it has");
    std::thread::sleep(Duration::from_secs(2));
    vault.unseal();
    put(&vault, "two");
    running.wait_for_stdout("value two");
    running.kill(Signal::SIGTERM);
    let finished = running.wait_within(SOON);
    let words = finished.success().stderr_text();
    assert!(
        words.lines().count() <= 3 && words.contains("sealed"),
        "{words}"
    );
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_new_version_is_noticed_and_the_same_values_are_not() {
    let vault = Vault::shared_dev();
    let path = unique("noticed");
    let write = |value: &str| vault.put_kv2(&path, &json!({"k": value}));
    write("one");
    let reference = format!("vault:secret/data/{path}#k");
    let mut running = stays(vault, &["--on-change", "signal:HUP"])
        .env("VALUE", reference)
        .spawn();
    running.wait_for_stdout("value one");
    // A new version with the same value.
    write("one");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(
        String::from_utf8(running.stdout_so_far()).unwrap(),
        "value one\n"
    );
    write("two");
    running.wait_for_stdout("hup");
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success().silent();
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn one_login_lasts_as_long_as_the_program() {
    let vault = Vault::dev();
    put(&vault, "one");
    let mut running = stays_with_token_of("15s", &vault, &[])
        .env("VALUE", "vault:secret/data/app#k")
        .spawn();
    running.wait_for_stdout("value one");
    // Longer than the token lives without renewal.
    std::thread::sleep(Duration::from_secs(16));
    eventually("a renewal and several reads", SOON, || {
        let renewals = count(&vault, |path| path == "auth/token/renew-self");
        let reads = count(&vault, |path| path == "secret/data/app");
        (renewals >= 1 && reads >= 5).then_some(())
    });
    assert_eq!(count(&vault, |path| path.ends_with("/login")), 1);
    assert_eq!(count(&vault, |path| path == "auth/token/revoke-self"), 0);
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success().silent();
    one_token_is_revoked(&vault);
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn all_values_or_none() {
    let vault = Vault::dev();
    put(&vault, "one");
    vault.put_kv2("other", &json!({"k": "x"}));
    let program = stays(&vault, &[])
        .env("VALUE", "vault:secret/data/app#k")
        .env("OTHER", "vault:secret/data/other#k");
    let mut running = program.spawn();
    running.wait_for_stdout("value one");
    // One value changes while another is gone.
    vault.api("DELETE", "secret/metadata/other", &Value::Null);
    put(&vault, "two");
    running.wait_for_stderr("cannot refresh");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(values(&running), ["one"]);
    vault.put_kv2("other", &json!({"k": "y"}));
    running.wait_for_stdout("value two");
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success();
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_certificate_is_replaced_before_it_expires() {
    let vault = Vault::dev();
    vault.api("POST", "sys/mounts/pki", &json!({"type": "pki"}));
    vault.api(
        "POST",
        "pki/root/generate/internal",
        &json!({"common_name": "test", "ttl": "24h"}),
    );
    vault.api(
        "POST",
        "pki/roles/web",
        &json!({"allow_any_name": true, "ttl": "6s", "not_before_duration": "1s"}),
    );
    let reference = ">>vault:pki/issue/web#serial_number#{\"common_name\":\"a.example\"}";
    let start = Instant::now();
    let mut running = stays(&vault, &[]).env("VALUE", reference).spawn();
    running.wait_for_stdout("value ");
    eventually("another certificate", SOON, || {
        (values(&running).len() >= 2).then_some(())
    });
    // After two thirds of what is left of 6 seconds once the server and the launcher have cut it to whole ones.
    assert!(
        start.elapsed() > Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    let values = values(&running);
    assert_ne!(values[0], values[1]);
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success().silent();
}

/// The peers' setting: a value that changes ends the program and the launcher.
#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_manifest_of_deckhouse_is_understood() {
    let vault = Vault::shared_dev();
    let path = unique("deckhouse");
    vault.put_kv2(&path, &json!({"k": "one"}));
    let mut running = launcher_at(env!("CARGO_BIN_EXE_envlatch"))
        .arg0("env-injector")
        .args(["/bin/sh", "-c", PRINTS])
        .env("PATH", "/usr/bin:/bin")
        .env("VALUE", format!("secrets-store:secret/data/{path}#k"))
        .env("VAULT_ADDR", vault.address())
        .env("VAULT_TOKEN", vault.root_token())
        .env("VAULT_ENV_RESTART_ON_SECRET_CHANGE", "watch-for-data")
        .env("VAULT_ENV_SECRET_POLL_INTERVAL", "1")
        .env("ENVLATCH_SPLAY", "0")
        .spawn();
    running.wait_for_stdout("value one");
    vault.put_kv2(&path, &json!({"k": "two"}));
    running.wait_within(SOON).expect_code(75).stdout_has("bye");
    assert!(
        vault.accepts(vault.root_token()),
        "a token that was given is not revoked"
    );
}

#[test]
#[ignore = "needs a real Vault, and root to read the memory of another process: scripts/test servers"]
fn no_value_stays_in_memory() {
    let vault = Vault::dev();
    let (first, second) = (canary(), canary());
    put(&vault, &first);
    let program =
        stays(&vault, &["--on-change", "signal:HUP"]).env("VALUE", "vault:secret/data/app#k");
    let mut running = program.spawn();
    running.wait_for_stdout(&format!("value {first}"));
    put(&vault, &second);
    running.wait_for_stdout("hup");
    let launcher = running.pid().as_raw();
    for value in [&first, &second] {
        assert!(!memory_holds(launcher, value.as_bytes()));
    }
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success();
}

/// A secret id in a wrapping token can be had once: its login serves every start, and ends with the last program.
#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_wrapped_secret_id_serves_every_start() {
    let vault = Vault::dev();
    put(&vault, "one");
    let program = stays(&vault, &[]).env("VALUE", "vault:secret/data/app#k");
    let mounts = vault.api("GET", "sys/auth", &Value::Null);
    let mounts = mounts["data"].as_object().unwrap();
    let mount = mounts.keys().find(|mount| mount.starts_with("approle"));
    let path = format!("auth/{}role/app/secret-id", mount.unwrap());
    let mut running = program
        .env("VAULT_SECRET_ID", vault.wrapped("POST", &path, &json!({})))
        .env("VAULT_SECRET_ID_WRAPPED", "true")
        .spawn();
    running.wait_for_stdout("value one");
    put(&vault, "two");
    running.wait_for_stdout("value two");
    assert_eq!(count(&vault, |path| path.ends_with("/login")), 1);
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success().silent();
    one_token_is_revoked(&vault);
}
