//! What the program is given besides variables, and what a start leaves of the launcher: nothing.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use envlatch_test_support::{TempDir, test_child};
use nix::sys::signal::Signal;

use crate::{envlatch, run};

#[test]
fn arguments_reach_the_program_as_bytes() {
    let odd = OsString::from_vec(b"\xff\xfe=\n'\" $(x)".to_vec());
    let report = run(&[])
        .arg("--")
        .arg(&odd)
        .arg("")
        .run()
        .success()
        .report();
    assert_eq!(
        report.argv[1..],
        [OsStr::new("report"), OsStr::new("--"), &odd, OsStr::new("")]
    );
}

#[test]
fn the_program_replaces_the_launcher() {
    let running = run(&[]).spawn();
    let pid = running.pid();
    assert_eq!(
        running
            .wait_within(Duration::from_secs(10))
            .success()
            .report()
            .pid,
        pid.as_raw()
    );
}

#[test]
fn exit_codes_are_the_programs_own() {
    for code in [0, 1, 42, 255] {
        let _passed_on = envlatch()
            .arg(test_child())
            .args(["exit", &code.to_string()])
            .run()
            .expect_code(code);
    }
    envlatch()
        .arg(test_child())
        .args(["kill", "9"])
        .run()
        .expect_signal(Signal::SIGKILL);
}

#[test]
fn nothing_is_printed_on_success() {
    envlatch()
        .arg(test_child())
        .args(["exit", "0"])
        .run()
        .success()
        .silent();
}

#[test]
fn no_descriptor_leaks() {
    let direct = envlatch_test_support::Program::new(test_child())
        .arg("report")
        .run()
        .report();
    let volume = envlatch_test_support::CsiVolume::new(&[("A", b"1"), ("B", b"2")]);
    let through = run(&["--dir", volume.path().to_str().unwrap()])
        .run()
        .success()
        .report();
    assert_eq!(through.fds, direct.fds);
}

#[test]
fn signal_mask_and_dispositions_are_handed_on() {
    let plain = run(&[]).run().success().report();
    assert_eq!(
        (plain.blocked, plain.ignored),
        (vec![], vec![]),
        "SIGPIPE in particular is not ignored"
    );
    let report = run(&[])
        .ignoring(Signal::SIGINT)
        .ignoring(Signal::SIGHUP)
        .blocking(Signal::SIGUSR1)
        .run()
        .success()
        .report();
    assert_eq!(
        report.ignored,
        [Signal::SIGHUP as i32, Signal::SIGINT as i32]
    );
    assert_eq!(report.blocked, [Signal::SIGUSR1 as i32]);
}

#[test]
fn stdin_belongs_to_the_program() {
    envlatch()
        .args(["run", "--", "/bin/cat"])
        .stdin("typed")
        .run()
        .success()
        .stdout_is("typed");
}

#[test]
fn working_directory_and_umask_stay() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().canonicalize().unwrap();
    assert_eq!(run(&[]).cwd(&path).run().success().report().cwd, path);
}

#[test]
fn core_dumps_are_the_programs_own_affair_again() {
    envlatch()
        .args(["run", "--", "/bin/sh", "-c", "cat /proc/self/environ"])
        .env("A", "1")
        .run()
        .success()
        .stdout_has("A=1");
}

#[test]
fn drop_in_names_take_every_word_as_the_command() {
    for name in ["vault-env", "secret-init", "env-injector"] {
        let report = envlatch()
            .arg0(name)
            .arg(test_child())
            .args(["report", "--", "--dir", "x"])
            .run()
            .success()
            .report();
        assert_eq!(
            report.argv[1..],
            ["report", "--", "--dir", "x"].map(OsString::from),
            "{name}"
        );
    }
    envlatch()
        .arg0("env-injector")
        .arg("--dummy-run")
        .run()
        .success()
        .silent();
}

#[test]
fn a_bare_name_is_looked_up_in_the_final_path() {
    let directory = TempDir::new().unwrap();
    std::os::unix::fs::symlink(test_child(), directory.path().join("tool")).unwrap();
    let env = TempDir::new().unwrap();
    std::fs::write(
        env.path().join("PATH"),
        directory.path().as_os_str().as_bytes(),
    )
    .unwrap();
    let options = [
        "--dir",
        env.path().to_str().unwrap(),
        "--allow-name",
        "PATH",
    ];
    let report = envlatch()
        .arg("run")
        .args(options)
        .args(["--", "tool", "report"])
        .env("PATH", "/nowhere")
        .run()
        .success()
        .report();
    assert_eq!(report.argv[0], "tool");
    assert_eq!(report.env("PATH"), Some(directory.path().as_os_str()));
}
