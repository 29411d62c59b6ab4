//! The init's duties: zombies, orphans, groups, descriptors, standard input.

use std::fs;

use envlatch_test_support::{eventually, test_child};
use nix::sys::signal::Signal;

use crate::{SOON, child, children, run, shell};

fn is_zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// F08: grandchildren that die are reaped, whoever is process 1.
#[test]
fn orphans_are_reaped() {
    // Each subshell leaves a grandchild behind, which ends when its parent is gone.
    let script = "i=0; while [ $i -lt 20 ]; do (sleep 0.2 & echo $!) ; i=$((i+1)); done; echo ready; sleep 60";
    let mut running = shell(&[], script).spawn();
    running.wait_for_stdout("ready");
    let launcher = running.pid().as_raw();
    let output = String::from_utf8(running.stdout_so_far()).unwrap();
    let orphans: Vec<i32> = output
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    assert_eq!(orphans.len(), 20);
    eventually("all orphans to be gone", SOON, || {
        (children(launcher).len() == 1 && !orphans.iter().copied().any(is_zombie)).then_some(())
    });
    assert!(running.is_running());
}

#[test]
fn orphans_are_adopted_without_being_process_1() {
    let parent = "sleep 600 & echo orphan $!; exec sleep 601";
    let script = format!("sh -c '{parent}' & echo parent $!; exec sleep 602");
    let mut running = shell(&[], &script).spawn();
    let mut process = |what: &str| -> i32 {
        running.wait_for_stdout(what);
        let output = String::from_utf8(running.stdout_so_far()).unwrap();
        let pid = output.lines().find_map(|line| line.strip_prefix(what));
        pid.unwrap().trim().parse().unwrap()
    };
    let (parent, orphan) = (process("parent"), process("orphan"));
    envlatch_sys::process::send(parent, 9).unwrap();
    let launcher = running.pid().as_raw();
    eventually(
        "the orphan to have the launcher as its parent",
        SOON,
        || children(launcher).contains(&orphan).then_some(()),
    );
    envlatch_sys::process::send(orphan, 9).unwrap();
    eventually("the orphan to be reaped", SOON, || {
        (!fs::exists(format!("/proc/{orphan}")).unwrap()).then_some(())
    });
    assert!(running.is_running());
}

#[test]
fn the_end_of_an_orphan_is_not_the_end() {
    let finished = shell(&[], "(sleep 0.1; exit 9) & exec sleep 0.5").run();
    finished.success();
}

#[test]
fn the_program_has_a_group_of_its_own() {
    let running = child(&[], &["report"]).spawn();
    let launcher = running.pid().as_raw();
    let report = running.wait_within(SOON).success().report();
    assert_eq!((report.ppid, report.pgrp), (launcher, report.pid));
}

#[test]
fn descriptors_are_those_of_a_direct_start() {
    let direct = envlatch_test_support::Program::new(test_child())
        .arg("report")
        .run()
        .report();
    let volume = envlatch_test_support::CsiVolume::new(&[("A", b"1")]);
    let through = child(&["--dir", volume.path().to_str().unwrap()], &["report"])
        .run()
        .success()
        .report();
    assert_eq!(through.fds, direct.fds);
}

#[test]
fn standard_input_belongs_to_the_program() {
    run(&[])
        .arg("/bin/cat")
        .stdin("typed")
        .run()
        .success()
        .stdout_is("typed");
}

#[test]
fn a_stopped_program_goes_on_when_it_is_told_to() {
    let mut running = shell(&[], "echo $$; while :; do sleep 0.05; done").spawn();
    running.wait_for_stdout("\n");
    let program: i32 = String::from_utf8(running.stdout_so_far())
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let state = |expected: &str| {
        eventually(expected, SOON, || {
            let stat = fs::read_to_string(format!("/proc/{program}/stat")).unwrap();
            stat.contains(&format!(") {expected} ")).then_some(())
        });
    };
    envlatch_sys::process::send(program, 19).unwrap();
    state("T");
    running.kill(Signal::SIGCONT);
    eventually("it to run", SOON, || {
        let stat = fs::read_to_string(format!("/proc/{program}/stat")).unwrap();
        (!stat.contains(") T ")).then_some(())
    });
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).expect_code(143);
}

/// As process 1 the kernel drops every signal that nobody waits for, and adopts every orphan of the container.
#[test]
#[ignore = "needs root, to make a process namespace: scripts/test servers"]
fn it_is_a_correct_process_1() {
    let script = "trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; (sleep 0.1 &); echo ready; while :; do sleep 0.05; done";
    let launcher = crate::envlatch();
    let mut running = envlatch_test_support::Program::new("/usr/bin/unshare")
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(launcher.path())
        .args([
            "run",
            "--on-change",
            "restart",
            "--",
            "/bin/sh",
            "-c",
            script,
        ])
        .env("PATH", "/usr/bin:/bin")
        .spawn();
    running.wait_for_stdout("ready");
    let first = children(running.pid().as_raw())[0];
    eventually("the orphan to be reaped", SOON, || {
        let children = children(first);
        (children.len() == 1 && !children.into_iter().any(is_zombie)).then_some(())
    });
    envlatch_sys::process::send(first, Signal::SIGUSR1 as i32).unwrap();
    running.wait_for_stdout("usr1");
    envlatch_sys::process::send(first, Signal::SIGTERM as i32).unwrap();
    running.wait_within(SOON).expect_code(5).stdout_has("term");
}
