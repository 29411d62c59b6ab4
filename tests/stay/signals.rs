//! Every signal reaches the program, and nothing that the launcher causes by itself.

use envlatch_sys::process::send;
use envlatch_test_support::Running;
use nix::sys::signal::Signal;

use crate::{SOON, child, shell};

/// All but those that cannot be handled, and the two that the C library keeps for itself.
fn forwarded() -> impl Iterator<Item = i32> {
    (1..=64).filter(|number| ![9, 19, 32, 33].contains(number))
}

fn trapping() -> Running {
    let mut words = Vec::new();
    for number in forwarded() {
        words.extend(["trap".to_owned(), number.to_string()]);
    }
    words.extend(["print", "ready", "sleep", "60000"].map(str::to_owned));
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut running = child(&[], &words).spawn();
    running.wait_for_stdout("ready");
    running
}

/// F08: all signals, real-time ones and SIGCHLD included, each once and in the order in which they were sent.
#[test]
fn every_signal_is_handed_on() {
    let mut running = trapping();
    let mut expected = String::from("ready\n");
    for number in forwarded() {
        send(running.pid().as_raw(), number).unwrap();
        let line = format!("got {number:02}\n");
        running.wait_for_stdout(&line);
        expected.push_str(&line);
    }
    assert_eq!(
        String::from_utf8(running.stdout_so_far()).unwrap(),
        expected
    );
    running.kill(Signal::SIGKILL);
    running.wait_within(SOON).expect_signal(Signal::SIGKILL);
}

#[test]
fn real_time_signals_are_counted() {
    let mut running = trapping();
    for _ in 0..5 {
        send(running.pid().as_raw(), 40).unwrap();
    }
    let lines = |running: &Running| {
        String::from_utf8(running.stdout_so_far())
            .unwrap()
            .matches("got 40")
            .count()
    };
    envlatch_test_support::eventually("five signals", SOON, || {
        (lines(&running) == 5).then_some(())
    });
    running.kill(Signal::SIGUSR1);
    running.wait_for_stdout("got 10");
    assert_eq!(lines(&running), 5);
}

#[test]
fn the_programs_own_children_are_its_own_affair() {
    let script = "trap 'echo noise' CHLD USR1 ALRM PIPE URG; (exit 0) & wait; echo ready; sleep 0.3; echo end";
    let running = shell(&[], &script.replace("CHLD ", "")).run();
    running.success().stdout_is("ready\nend\n");
}

#[test]
fn what_was_ignored_or_blocked_stays_so() {
    let report = child(&[], &["report"])
        .ignoring(Signal::SIGHUP)
        .blocking(Signal::SIGUSR1)
        .run()
        .success()
        .report();
    assert_eq!(report.ignored, [Signal::SIGHUP as i32]);
    assert_eq!(report.blocked, [Signal::SIGUSR1 as i32]);
    let plain = child(&[], &["report"]).run().success().report();
    assert!(
        plain.ignored.is_empty() && plain.blocked.is_empty(),
        "{plain:?}"
    );
}
