//! The settings of staying, and those of the peers that mean it.

use envlatch_test_support::{CsiVolume, test_child};

use crate::{SOON, envlatch};

/// The process id of the launcher and the parent of the program: the same process when it stays.
fn stays(variables: &[(&str, &str)], options: &[&str]) -> bool {
    let mut program = envlatch()
        .arg("run")
        .args(options)
        .arg("--")
        .arg(test_child())
        .arg("report");
    for (name, value) in variables {
        program = program.env(name, value);
    }
    let running = program.spawn();
    let pid = running.pid().as_raw();
    let report = running.wait_within(SOON).success().report();
    assert!(report.pid == pid || report.ppid == pid);
    report.ppid == pid
}

#[test]
fn only_who_asks_for_it_is_accompanied() {
    for (variables, options, expected) in [
        (vec![], vec![], false),
        (vec![], vec!["--on-change", "none"], false),
        (vec![], vec!["--on-change", "restart"], true),
        (vec![], vec!["--on-change", "signal:RTMIN+1"], true),
        (vec![("ENVLATCH_ON_CHANGE", "exit")], vec![], true),
        (vec![("ENVLATCH_ON_CHANGE", "")], vec![], false),
        (vec![("VAULT_ENV_DAEMON", "true")], vec![], true),
        (vec![("VAULT_ENV_DAEMON", "false")], vec![], false),
        (vec![("SECRET_INIT_DAEMON", "1")], vec![], true),
        (
            vec![("VAULT_ENV_RESTART_ON_SECRET_CHANGE", "none")],
            vec![],
            false,
        ),
        (
            vec![("VAULT_ENV_RESTART_ON_SECRET_CHANGE", "watch-for-lease")],
            vec![],
            true,
        ),
        (
            vec![("VAULT_ENV_RESTART_ON_SECRET_CHANGE", "watch-for-data")],
            vec![],
            true,
        ),
        (
            vec![("VAULT_ENV_DAEMON", "true")],
            vec!["--on-change", "none"],
            false,
        ),
    ] {
        assert_eq!(
            stays(&variables, &options),
            expected,
            "{variables:?} {options:?}"
        );
    }
}

#[test]
fn wrong_settings_are_named() {
    for (name, value, text) in [
        (
            "ENVLATCH_ON_CHANGE",
            "reload",
            "is neither none, signal:SIGNAL, restart nor exit",
        ),
        (
            "ENVLATCH_ON_CHANGE",
            "signal:KILL",
            "names no signal that a program can handle",
        ),
        ("ENVLATCH_SPLAY", "soon", "is no duration"),
        ("ENVLATCH_GRACE", "10 apples", "is no duration"),
        ("ENVLATCH_POLL_INTERVAL", "0", "is too short for the server"),
        (
            "VAULT_ENV_SECRET_POLL_INTERVAL",
            "120ns",
            "is too short for the server",
        ),
        (
            "VAULT_ENV_RESTART_ON_SECRET_CHANGE",
            "yes",
            "is neither none, watch-for-lease nor watch-for-data",
        ),
        ("VAULT_ENV_DAEMON", "on", "is neither true nor false"),
    ] {
        let run = envlatch()
            .args(["run", "--", "/bin/true"])
            .env(name, value)
            .run();
        run.expect_code(78).stderr_has(&format!("{name}: {text}"));
    }
}

/// Of a daemon that only keeps leases, a value that changes is no business.
#[test]
fn a_peers_daemon_does_not_watch_values() {
    let mut volume = CsiVolume::new(&[("A", b"1")]);
    let mut running = envlatch()
        .args([
            "run",
            "--dir",
            volume.path().to_str().unwrap(),
            "--splay",
            "0",
            "--",
            "/bin/sh",
            "-c",
            "echo ready; sleep 1",
        ])
        .env("VAULT_ENV_DAEMON", "true")
        .spawn();
    running.wait_for_stdout("ready");
    volume.swap(&[("A", b"2")]);
    running.wait_within(SOON).success();
}
