//! Files that change: what counts as a change, and what is done about it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use envlatch_test_support::{CsiVolume, Program, Running, TempDir, refuse_call};
use nix::libc::{ENOSYS, SYS_inotify_init1};
use nix::sys::signal::Signal;

use crate::{SOON, child, shell};

/// Long enough for a change to have been seen, were it one.
const A_WHILE: Duration = Duration::from_millis(700);

/// Prints `VALUE`, and a line for each SIGHUP.
const PRINTS: &str = "trap 'echo hup' HUP; trap 'echo bye; exit 0' TERM; echo \"value $VALUE\"; while :; do sleep 0.02; done";

fn prints(volume: &Path, options: &[&str]) -> Program {
    let dir = ["--dir", volume.to_str().unwrap()];
    shell(&[&dir, options].concat(), PRINTS)
}

fn count(running: &Running, text: &str) -> usize {
    String::from_utf8(running.stdout_so_far())
        .unwrap()
        .matches(text)
        .count()
}

fn text(number: usize) -> Vec<u8> {
    format!("{number}").into_bytes()
}

#[test]
fn a_changed_volume_restarts_the_program_in_place() {
    let mut volume = CsiVolume::new(&[("VALUE", b"one")]);
    let mut running = prints(volume.path(), &[]).spawn();
    running.wait_for_stdout("value one");
    volume.swap(&[("VALUE", b"two")]);
    running.wait_for_stdout("bye");
    running.wait_for_stdout("value two");
    running.kill(Signal::SIGTERM);
    running.wait_within(SOON).success().silent();
}

#[test]
fn a_signal_is_sent_instead() {
    let mut volume = CsiVolume::new(&[("VALUE", b"one")]);
    let mut running = prints(volume.path(), &["--on-change", "signal:HUP"]).spawn();
    running.wait_for_stdout("value one");
    for number in 1..=3 {
        volume.swap(&[("VALUE", &text(number))]);
        let hups = || (count(&running, "hup") == number).then_some(());
        envlatch_test_support::eventually("a signal for each change", SOON, hups);
    }
    running.kill(Signal::SIGTERM);
    running
        .wait_within(SOON)
        .success()
        .stdout_is("value one\nhup\nhup\nhup\nbye\n");
}

#[test]
fn the_launcher_ends_for_somebody_else_to_start_it() {
    let log = TempDir::new().unwrap();
    let log = log.path().join("log");
    fs::write(&log, "").unwrap();
    let mut volume = CsiVolume::new(&[("VALUE", b"one")]);
    let options = [
        "--on-change",
        "exit",
        "--termination-log",
        log.to_str().unwrap(),
    ];
    let mut running = prints(volume.path(), &options).spawn();
    running.wait_for_stdout("value one");
    volume.swap(&[("VALUE", b"two")]);
    let text = "values changed, and the program was ended so that it is started with the new ones";
    running
        .wait_within(SOON)
        .expect_code(75)
        .stdout_has("bye")
        .stderr_has(text);
    assert!(fs::read_to_string(log).unwrap().contains(text));
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_after_the_grace() {
    let mut volume = CsiVolume::new(&[("VALUE", b"one")]);
    let path = volume.path().to_str().unwrap().to_owned();
    let words = ["trap", "15", "print", "ready", "sleep", "600000"];
    let mut running = child(
        &["--dir", &path, "--on-change", "exit", "--grace", "5s"],
        &words,
    )
    .spawn();
    running.wait_for_stdout("ready");
    volume.swap(&[("VALUE", b"two")]);
    running.wait_for_stdout("got 15");
    running.wait_within(SOON).expect_code(75);
}

#[test]
fn equal_values_are_no_change() {
    let mut volume = CsiVolume::new(&[("VALUE", b"one"), ("OTHER", b"1")]);
    let mut running = prints(
        volume.path(),
        &["--only", "VALUE", "--on-change", "signal:HUP"],
    )
    .spawn();
    running.wait_for_stdout("value one");
    // Another generation, another file that is not selected, a newline that is cut: the environment is the same.
    volume.swap(&[("VALUE", b"one\n"), ("OTHER", b"2")]);
    std::thread::sleep(A_WHILE);
    volume.swap(&[("VALUE", b"two")]);
    running.wait_for_stdout("hup");
    assert_eq!(count(&running, "hup"), 1);
}

#[test]
fn a_refresh_that_fails_keeps_the_program_running() {
    let mut volume = CsiVolume::new(&[("VALUE", b"one")]);
    let mut running = prints(volume.path(), &["--on-change", "restart"]).spawn();
    running.wait_for_stdout("value one");
    volume.swap(&[("not a name", b"x")]);
    running.wait_for_stderr("cannot refresh; the program goes on with what it has");
    std::thread::sleep(A_WHILE);
    volume.swap(&[("VALUE", b"two")]);
    running.wait_for_stdout("value two");
    running.kill(Signal::SIGTERM);
    let finished = running.wait_within(SOON);
    assert_eq!(
        finished
            .success()
            .stderr_text()
            .matches("cannot refresh")
            .count(),
        1
    );
}

#[test]
fn a_directory_without_generations_is_watched_too() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("VALUE");
    fs::write(&file, "one").unwrap();
    let mut running = prints(folder.path(), &[]).spawn();
    running.wait_for_stdout("value one");
    fs::write(&file, "two").unwrap();
    running.wait_for_stdout("value two");
    let fresh = folder.path().join(".new");
    fs::write(&fresh, "three").unwrap();
    fs::rename(&fresh, &file).unwrap();
    running.wait_for_stdout("value three");
}

#[test]
fn a_file_reference_is_watched_too() {
    let mut volume = CsiVolume::new(&[("sub/password", b"one")]);
    let reference = format!("VALUE=file:{}/sub/password", volume.path().display());
    let mut running = shell(&["--env", &reference], PRINTS).spawn();
    running.wait_for_stdout("value one");
    volume.swap(&[("sub/password", b"two")]);
    running.wait_for_stdout("value two");
}

/// Without inotify nobody tells, and values are compared from time to time.
#[test]
fn a_kernel_without_inotify_is_no_obstacle() {
    let mut volume = CsiVolume::new(&[("VALUE", b"one")]);
    refuse_call(SYS_inotify_init1, ENOSYS as u32);
    let mut running = prints(volume.path(), &[])
        .deadline(Duration::from_secs(60))
        .spawn();
    running.wait_for_stdout("value one");
    running.wait_for_stderr("they are compared every 10 seconds instead");
    volume.swap(&[("VALUE", b"two")]);
    running.wait_for_stdout("value two");
}

#[test]
fn what_the_program_left_behind_ends_with_it() {
    let mut volume = CsiVolume::new(&[("VALUE", b"one")]);
    let script = "sleep 1000 & echo \"left $!\"; echo \"value $VALUE\"; wait";
    let mut running = shell(&["--dir", volume.path().to_str().unwrap()], script).spawn();
    running.wait_for_stdout("value one");
    let output = String::from_utf8(running.stdout_so_far()).unwrap();
    let left: i32 = output
        .lines()
        .next()
        .unwrap()
        .trim_start_matches("left ")
        .parse()
        .unwrap();
    volume.swap(&[("VALUE", b"two")]);
    running.wait_for_stdout("value two");
    let gone = || (!fs::exists(format!("/proc/{left}")).unwrap()).then_some(());
    envlatch_test_support::eventually("the process to be gone", SOON, gone);
}

#[test]
fn the_splay_is_waited_for() {
    let mut volume = CsiVolume::new(&[("VALUE", b"one")]);
    // This name's share of the splay is more than a tenth: see the property test of shares.
    let mut running = prints(
        volume.path(),
        &["--splay", "2s", "--on-change", "signal:HUP"],
    )
    .env("HOSTNAME", "app-2")
    .spawn();
    running.wait_for_stdout("value one");
    let start = Instant::now();
    volume.swap(&[("VALUE", b"two")]);
    running.wait_for_stdout("hup");
    assert!(
        start.elapsed() > Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn sigterm_cancels_a_restart() {
    let mut volume = CsiVolume::new(&[("VALUE", b"one")]);
    // Ends when it is asked again.
    let script = "n=0; trap 'n=$((n+1)); echo asked' TERM; echo \"value $VALUE\"; while [ $n -lt 2 ]; do sleep 0.02; done; exit 7";
    let options = ["--dir", volume.path().to_str().unwrap(), "--grace", "60s"];
    let mut running = shell(&options, script).spawn();
    running.wait_for_stdout("value one");
    volume.swap(&[("VALUE", b"two")]);
    running.wait_for_stdout("asked");
    running.kill(Signal::SIGTERM);
    let finished = running.wait_within(SOON);
    finished.expect_code(7);
    assert!(!finished.stdout_text().contains("value two"));
}

#[test]
fn the_last_of_many_changes_arrives() {
    let mut volume = CsiVolume::new(&[("VALUE", b"0")]);
    let mut running = prints(volume.path(), &[]).spawn();
    running.wait_for_stdout("value 0");
    for number in 1..=30 {
        volume.swap(&[("VALUE", &text(number))]);
        std::thread::sleep(Duration::from_millis(10));
    }
    running.wait_for_stdout("value 30\n");
    // Restarts in a row are spaced, so there are far fewer than changes.
    assert!(count(&running, "value") < 10, "{running:?}");
}

/// A thousand rotations, each as soon as the last was acknowledged. Descriptors and processes are as before.
#[test]
fn a_thousand_rotations() {
    let mut volume = CsiVolume::new(&[("VALUE", b"0")]);
    let options = [
        "--dir",
        volume.path().to_str().unwrap(),
        "--on-change",
        "signal:USR1",
    ];
    let words = ["trap", "10", "print", "ready", "sleep", "600000"];
    let mut running = child(&options, &words)
        .deadline(Duration::from_secs(120))
        .spawn();
    running.wait_for_stdout("ready");
    let launcher = running.pid().as_raw();
    let descriptors = || {
        fs::read_dir(format!("/proc/{launcher}/fd"))
            .unwrap()
            .count()
    };
    let mut before = 0;
    let start = Instant::now();
    for number in 1..=1000 {
        volume.swap(&[("VALUE", &text(number))]);
        while count(&running, "got 10") < number {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "only {number} rotations in a minute"
            );
            std::thread::sleep(Duration::from_micros(500));
        }
        if number == 10 {
            let program_alone = || (crate::children(launcher).len() == 1).then_some(());
            envlatch_test_support::eventually("the worker to be gone", SOON, program_alone);
            std::thread::sleep(A_WHILE);
            before = descriptors();
        }
    }
    assert!(start.elapsed() < Duration::from_secs(60));
    let settled =
        || (descriptors() == before && crate::children(launcher).len() == 1).then_some(());
    envlatch_test_support::eventually("descriptors and processes to be as before", SOON, settled);
}
