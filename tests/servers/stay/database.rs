//! Users of a real PostgreSQL, which a real Vault issues and ends.

use std::time::{Duration, Instant};

use envlatch_test_support::{Postgres, Program, Vault, eventually, launcher_at};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{PRINTS, count, put, stays, stays_with_token_of, values};
use crate::SOON;

const USER: &str = "vault:database/creds/app#username";

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
        stays(&self.vault, options).env("VALUE", USER)
    }

    /// The same beside a value that `put` changes.
    fn program_with_value(&self) -> Program {
        put(&self.vault, "one");
        self.program(&[]).env("OTHER", "vault:secret/data/app#k")
    }

    /// A program whose launcher has a token that lives for `ttl` without renewal.
    fn program_with_token_of(&self, ttl: &str) -> Program {
        stays_with_token_of(ttl, &self.vault, &[]).env("VALUE", USER)
    }

    /// The same with a token that was given to the launcher.
    fn program_with_given_token(&self, token: &str, options: &[&str]) -> Program {
        launcher_at(env!("CARGO_BIN_EXE_envlatch"))
            .args(["run", "--on-change", "restart", "--splay", "0s"])
            .args(options)
            .args(["--", "/bin/sh", "-c", PRINTS])
            .env("PATH", "/usr/bin:/bin")
            .env("VALUE", USER)
            .env("VAULT_ADDR", self.vault.address())
            .env("VAULT_TOKEN", token)
            .deadline(Duration::from_secs(120))
    }

    fn no_user_is_left(&self) {
        eventually("all users to be gone", SOON, || {
            self.postgres.issued().is_empty().then_some(())
        });
    }
}

/// The last line of an output.
fn last_words(output: &[u8]) -> &str {
    let text = str::from_utf8(output).unwrap();
    text.lines().last().unwrap_or_default()
}

#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn users_are_renewed_and_replaced_before_their_end() {
    let database = Database::new("9s", "24s");
    let start = Instant::now();
    let mut running = database.program(&[]).spawn();
    running.wait_for_stdout("value v-");
    while values(&running).len() < 2 {
        assert!(start.elapsed() < SOON, "{running:?}");
        // What the program has works at every moment.
        let before = running.stdout_so_far();
        let issued = database.postgres.issued();
        // Whatever it had said by then has been read by now.
        std::thread::sleep(Duration::from_millis(50));
        if before == running.stdout_so_far()
            && let Some(user) = last_words(&before).strip_prefix("value ")
        {
            assert!(
                issued.iter().any(|known| known == user),
                "{user} is not among {issued:?}: {running:?}"
            );
        }
    }
    let renewals = count(&database.vault, |path| path == "sys/leases/renew");
    assert!(renewals >= 2, "{renewals} renewals");
    // It lives until its maximum comes near, and not from one renewal to the next.
    assert!(
        start.elapsed() > Duration::from_secs(12),
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
        // Workers may follow it.
        let children = std::fs::read_to_string(program).unwrap();
        let program: i32 = children.split(' ').next().unwrap().parse().unwrap();
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
        .program_with_token_of("4s")
        .env("OTHER", "vault:secret/data/app#k")
        .spawn();
    running.wait_for_stdout("value v-");
    let user = values(&running)[0].clone();
    vault.freeze();
    // Whatever waits for the server, a signal does not.
    for number in 1..=20 {
        std::thread::sleep(Duration::from_millis(150));
        running.kill(Signal::SIGHUP);
        // Less than a renewal waits for a server.
        eventually("the signal", Duration::from_secs(15), || {
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

/// A path that is denied now makes a worker log in anew; what the program has must not go with that login.
#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn a_denial_takes_nothing_away_from_the_program() {
    let database = Database::new("1h", "24h");
    let vault = &database.vault;
    let mut running = database.program_with_value().spawn();
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
    let mut running = database.program_with_given_token(&token, &[]).spawn();
    running.wait_for_stdout("value v-");
    eventually("another user", SOON, || {
        (values(&running).len() >= 2).then_some(())
    });
    // Not at the first refusal, after two thirds, but when two thirds of the rest are over as well.
    assert!(
        start.elapsed() > Duration::from_millis(4500),
        "{:?}",
        start.elapsed()
    );
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success().silent();
    assert!(
        vault.accepts(&token),
        "a token that was given is not revoked"
    );
}

#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn a_server_that_hangs_holds_up_no_end() {
    let database = Database::new("1h", "24h");
    let mut running = database.program_with_token_of("30s").spawn();
    running.wait_for_stdout("value v-");
    database.vault.freeze();
    let start = Instant::now();
    running.kill(Signal::SIGTERM);
    // 2 seconds for giving back, the rest for a busy machine.
    running
        .wait_within(Duration::from_secs(20))
        .success()
        .silent();
    assert!(
        start.elapsed() > Duration::from_secs(1),
        "it was tried: {:?}",
        start.elapsed()
    );
    database.vault.thaw();
    // The request was on its way: the server carries it out once it runs again. Should it have had no time to leave, the token
    // ends by itself.
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

/// Restarts come ever slower, so users do not pile up where values keep changing.
#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn changes_in_a_row_issue_few_users() {
    let database = Database::new("1h", "24h");
    let vault = &database.vault;
    let mut running = database.program_with_value().spawn();
    running.wait_for_stdout("value v-");
    for number in 1..=40 {
        put(vault, &number.to_string());
        std::thread::sleep(Duration::from_millis(250));
    }
    let issued = count(vault, |path| path == "database/creds/app");
    assert!((2..=8).contains(&issued), "{issued} users: {running:?}");
    eventually("the users of earlier starts to be gone", SOON, || {
        let last = values(&running).last().cloned();
        (database.postgres.issued().as_slice() == last.as_slice()).then_some(())
    });
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success().silent();
    database.no_user_is_left();
}

/// A token that was given is not revoked, so its leases are: at a restart those of the program before, and all at the end.
#[test]
#[ignore = "needs a real Vault and PostgreSQL: scripts/test servers"]
fn leases_of_a_token_that_was_given_are_ended_one_by_one() {
    let database = Database::new("1h", "24h");
    let vault = &database.vault;
    put(vault, "one");
    let mut running = database
        .program_with_given_token(vault.root_token(), &["--poll-interval", "1s"])
        .env("OTHER", "vault:secret/data/app#k")
        .spawn();
    running.wait_for_stdout("value v-");
    put(vault, "two");
    eventually("another user", SOON, || {
        (values(&running).len() == 2).then_some(())
    });
    let last = values(&running)[1..].to_vec();
    eventually("the first user to be gone", SOON, || {
        (database.postgres.issued() == last).then_some(())
    });
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success().silent();
    database.no_user_is_left();
    assert!(vault.accepts(vault.root_token()));
}
