//! The launcher that stays, with a real Vault and the database engine of a real PostgreSQL: leases, tokens, outages.

use std::time::{Duration, Instant};

use envlatch_test_support::{
    Postgres, Program, Running, Vault, canary, eventually, launcher_at, memory_holds,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::unique;

/// Far more than anything here takes, also on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Prints what it was given, and each SIGHUP; ends at SIGTERM.
const PRINTS: &str = "trap 'echo hup' HUP; trap 'echo bye; exit 0' TERM; echo \"value $VALUE\"; while :; do sleep 0.05; done";

/// A Vault with a database whose role issues users.
struct Database {
    vault: Vault,
    postgres: Postgres,
}

// === impl Database ===

impl Database {
    /// Users live for `ttl`, and with renewals for `max_ttl`.
    fn new(ttl: &str, max_ttl: &str) -> Self {
        let database = Self {
            vault: Vault::dev(),
            postgres: Postgres::start(),
        };
        let (vault, postgres) = (&database.vault, &database.postgres);
        vault.api("POST", "sys/mounts/database", &json!({"type": "database"}));
        let config = json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "app",
            "connection_url": postgres.connection_url(),
            "username": postgres.superuser(),
            "password": postgres.password(),
        });
        vault.api("POST", "database/config/main", &config);
        let create = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';";
        let role = json!({"db_name": "main", "creation_statements": [create], "default_ttl": ttl, "max_ttl": max_ttl});
        vault.api("POST", "database/roles/app", &role);
        database
    }

    /// A program that prints the user that it was given.
    fn program(&self, options: &[&str]) -> Program {
        stays(&self.vault, options).env("VALUE", "vault:database/creds/app#username")
    }

    fn no_user_is_left(&self) {
        eventually("all users to be gone", SOON, || {
            self.postgres.issued().is_empty().then_some(())
        });
    }
}

/// The launcher with a login of its own, acting at once, beside a shell that prints.
fn stays(vault: &Vault, options: &[&str]) -> Program {
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
    let role = json!({"token_policies": [policy], "token_ttl": "4s", "token_max_ttl": "1h"});
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

fn put(vault: &Vault, value: &str) {
    vault.put_kv2("app", &json!({"k": value}));
}

#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn users_are_renewed_and_replaced_before_their_end() {
    let database = Database::new("3s", "8s");
    let mut running = database.program(&[]).spawn();
    running.wait_for_stdout("value v-");
    let start = Instant::now();
    while values(&running).len() < 4 {
        assert!(start.elapsed() < SOON, "{running:?}");
        // What the program has works at every moment.
        let (before, issued, after) = (
            values(&running),
            database.postgres.issued(),
            values(&running),
        );
        if before == after {
            let user = before.last().unwrap();
            assert!(
                issued.contains(user),
                "{user} is not among {issued:?}: {running:?}"
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let renewals = count(&database.vault, |path| path == "sys/leases/renew");
    assert!(renewals >= 3, "{renewals} renewals");
    // Each lives until its maximum comes near, and not from one renewal to the next.
    assert!(
        start.elapsed() > Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success().silent();
    database.no_user_is_left();
}

#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn users_end_with_the_program_however_it_ends() {
    let database = Database::new("1h", "24h");
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut running = database.program(&[]).spawn();
        running.wait_for_stdout("value v-");
        let program = format!("/proc/{0}/task/{0}/children", running.pid());
        let program: i32 = std::fs::read_to_string(program)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert_eq!(database.postgres.issued(), values(&running));
        envlatch_sys::process::send(program, signal as i32).unwrap();
        let _ended = running.wait_within(SOON);
        database.no_user_is_left();
    }
    // Nor does a start that cannot become the program leave one.
    let failed = database
        .program(&[])
        .env("B", "vault:database/creds/app#absent")
        .run();
    failed.expect_code(66);
    database.no_user_is_left();
}

#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn a_plain_start_with_a_lease_is_warned_and_keeps_it() {
    let database = Database::new("1h", "24h");
    let mut running = database.program(&["--on-change", "none"]).spawn();
    running.wait_for_stdout("value v-");
    running.kill(Signal::SIGTERM);
    let finished = running.wait_within(SOON);
    let warning = "database/creds/app: what it issued ends in 3600 s, and a plain start renews nothing; add --on-change restart";
    finished.success().stderr_has(warning);
    assert_eq!(finished.stderr_text().lines().count(), 1);
    assert_eq!(database.postgres.issued().len(), 1);
}

#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn an_outage_takes_no_program_down() {
    let database = Database::new("4s", "1h");
    let vault = &database.vault;
    put(vault, "one");
    let mut running = database
        .program(&[])
        .env("OTHER", "vault:secret/data/app#k")
        .spawn();
    running.wait_for_stdout("value v-");
    let user = values(&running)[0].clone();
    vault.freeze();
    // Whatever waits for the server, a signal does not.
    for number in 1..=20 {
        std::thread::sleep(Duration::from_millis(150));
        running.kill(Signal::SIGHUP);
        eventually("the signal", Duration::from_secs(5), || {
            let output = String::from_utf8(running.stdout_so_far()).unwrap();
            (output.matches("hup").count() == number).then_some(())
        });
    }
    vault.thaw();
    eventually("a new user, or the same one renewed", SOON, || {
        let now = values(&running).last().unwrap().clone();
        (now != user || count(vault, |path| path == "sys/leases/renew") > 0).then_some(())
    });
    assert!(running.is_running());
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success();
    database.no_user_is_left();
}

#[test]
#[ignore = "needs a real Vault: scripts/test servers"]
fn a_sealed_server_is_said_once_and_caught_up_with() {
    let vault = Vault::dev();
    put(&vault, "one");
    let mut running = stays(&vault, &["--timeout", "1s"])
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
    let mut running = stays(&vault, &[])
        .env("VALUE", "vault:secret/data/app#k")
        .spawn();
    running.wait_for_stdout("value one");
    // Twice as long as the token lives without renewal.
    std::thread::sleep(Duration::from_secs(8));
    let logins = || count(&vault, |path| path.ends_with("/login"));
    assert_eq!(logins(), 1);
    assert!(count(&vault, |path| path == "auth/token/renew-self") >= 2);
    assert!(count(&vault, |path| path == "secret/data/app") >= 5);
    assert_eq!(count(&vault, |path| path == "auth/token/revoke-self"), 0);
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success().silent();
    assert_eq!(count(&vault, |path| path == "auth/token/revoke-self"), 1);
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
        (values(&running).len() == 2).then_some(())
    });
    assert!(
        start.elapsed() > Duration::from_secs(3),
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

/// A path that is denied now makes a worker log in anew; what the program has must not go with that login.
#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn a_denial_takes_nothing_away_from_the_program() {
    let database = Database::new("1h", "24h");
    let vault = &database.vault;
    put(vault, "one");
    let program = database
        .program(&[])
        .env("OTHER", "vault:secret/data/app#k");
    let mut running = program.spawn();
    running.wait_for_stdout("value v-");
    let issued = database.postgres.issued();
    let policies = vault.api("LIST", "sys/policies/acl", &Value::Null);
    let policies = policies["data"]["keys"].as_array().unwrap().clone();
    let policies = policies.iter().filter_map(Value::as_str);
    let before = count(vault, |path| path == "auth/token/revoke-self");
    for policy in policies.filter(|policy| policy.starts_with("stays")) {
        vault.policy(
            policy,
            "path \"database/creds/app\" { capabilities = [\"read\"] }",
        );
    }
    running.wait_for_stderr("cannot refresh");
    // The login of the worker is given back, and only that.
    eventually("the new login to be revoked", SOON, || {
        (count(vault, |path| path == "auth/token/revoke-self") > before).then_some(())
    });
    assert_eq!(database.postgres.issued(), issued);
    assert_eq!(values(&running).len(), 1);
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success();
    database.no_user_is_left();
}

/// A policy may let a token do everything but renew: then its time is used, and no restart follows another.
#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn who_may_not_renew_gets_the_next_credential_in_time() {
    let database = Database::new("6s", "1h");
    let vault = &database.vault;
    vault.policy(
        "bare",
        "path \"database/creds/app\" { capabilities = [\"read\"] }",
    );
    let token = json!({"policies": ["bare"], "no_default_policy": true, "ttl": "1h"});
    let token = vault.api("POST", "auth/token/create", &token);
    let token = token["auth"]["client_token"].as_str().unwrap().to_owned();
    let start = Instant::now();
    let mut running = launcher_at(env!("CARGO_BIN_EXE_envlatch"))
        .args([
            "run",
            "--on-change",
            "restart",
            "--splay",
            "0s",
            "--",
            "/bin/sh",
            "-c",
            PRINTS,
        ])
        .env("PATH", "/usr/bin:/bin")
        .env("VALUE", "vault:database/creds/app#username")
        .env("VAULT_ADDR", vault.address())
        .env("VAULT_TOKEN", &token)
        .deadline(Duration::from_secs(120))
        .spawn();
    running.wait_for_stdout("value v-");
    eventually("another user", SOON, || {
        (values(&running).len() == 2).then_some(())
    });
    // Not at the first refusal, after two thirds, but when two thirds of the rest are over as well.
    assert!(
        start.elapsed() > Duration::from_millis(4500),
        "{:?}",
        start.elapsed()
    );
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success();
    assert!(
        vault.accepts(&token),
        "a token that was given is not revoked"
    );
}

#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn a_server_that_hangs_holds_up_no_end() {
    let database = Database::new("1h", "24h");
    let mut running = database.program(&[]).spawn();
    running.wait_for_stdout("value v-");
    database.vault.freeze();
    let start = Instant::now();
    running.kill(Signal::SIGTERM);
    // 2 seconds for giving back, the rest for a busy machine.
    running
        .wait_within(Duration::from_secs(10))
        .success()
        .silent();
    assert!(
        start.elapsed() > Duration::from_secs(1),
        "it was tried: {:?}",
        start.elapsed()
    );
    database.vault.thaw();
    // The request was on its way: the server carries it out once it runs again.
    database.no_user_is_left();
}

/// A pod that crashes again and again, as kubelet sees it.
#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn a_crash_loop_accumulates_nothing() {
    let database = Database::new("1h", "24h");
    let program = database.program(&["--", "/bin/sh", "-c", "exit 3"]);
    for _ in 0..10 {
        program.run().expect_code(3).silent();
    }
    assert_eq!(
        count(&database.vault, |path| path == "database/creds/app"),
        10
    );
    database.no_user_is_left();
}
