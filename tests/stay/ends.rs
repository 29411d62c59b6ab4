//! How the program ends is how the launcher ends.

use std::time::Duration;

use envlatch_test_support::eventually;
use nix::sys::signal::Signal;

use crate::{SOON, child, children, run, shell, waiting};

#[test]
fn every_exit_code_is_passed_on() {
    for code in 0..=255 {
        child(&[], &["exit", &code.to_string()])
            .run()
            .expect_code(code)
            .silent();
    }
}

#[test]
fn a_signal_that_kills_is_128_and_its_number() {
    // Those that end nothing unless they are handled (CHLD, CONT, URG, WINCH and the four that stop), and the two that the
    // C library keeps for itself.
    let harmless = [17, 18, 19, 20, 21, 22, 23, 28, 32, 33];
    for number in (1..=64).filter(|number| !harmless.contains(number)) {
        child(&[], &["kill", &number.to_string()])
            .run()
            .expect_code(128 + number);
    }
}

#[test]
fn nothing_is_started_with_the_code_of_a_plain_start() {
    run(&[]).arg("/absent/program").run().expect_code(127);
    run(&["--dir", "/absent"])
        .arg("/bin/true")
        .run()
        .expect_code(66)
        .stderr_has("no such directory");
    run(&[])
        .run()
        .expect_code(64)
        .stderr_has("no command to start");
    run(&["--names", "odd"])
        .arg("/bin/true")
        .run()
        .expect_code(78);
}

#[test]
fn a_program_that_ignores_sigterm_ends_within_the_grace() {
    let mut running = child(
        &["--grace", "300ms"],
        &["ignore", "15", "print", "ready", "sleep", "600000"],
    )
    .spawn();
    running.wait_for_stdout("ready");
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).expect_code(137);
}

#[test]
fn a_program_that_heard_sigterm_takes_its_time() {
    let script =
        "trap 'sleep 1; echo drained; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = shell(&["--grace", "100ms"], script).spawn();
    running.wait_for_stdout("ready");
    running.kill(Signal::SIGTERM);
    running
        .wait_within(SOON)
        .expect_code(3)
        .stdout_has("drained");
}

#[test]
fn the_program_ends_with_a_launcher_that_is_killed() {
    let mut running = child(&[], &["print", "ready", "sleep", "600000"]).spawn();
    running.wait_for_stdout("ready");
    let program = children(running.pid().as_raw())[0];
    running.kill(Signal::SIGKILL);
    running.wait_within(SOON).expect_signal(Signal::SIGKILL);
    eventually("the program to be gone", SOON, || {
        let stat = std::fs::read_to_string(format!("/proc/{program}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

/// F06: a signal while the start is under way, here at a server where nobody listens.
#[test]
fn sigterm_during_the_start_ends_it() {
    let mut running = waiting("exit").spawn();
    running.wait_for_stderr("trying again");
    running.kill(Signal::SIGTERM);
    let at_once = Duration::from_secs(20);
    running.wait_within(at_once).expect_code(143);
}
