//! At a real terminal, which `script` of util-linux makes, and without one, which `setsid` of the same takes away.

use envlatch_test_support::{Finished, Program, TempDir};

use crate::envlatch;

/// Runs a line of a shell at a terminal at which `typed` is typed once `READY` has been printed there. `envlatch` in the
/// line is the program of this build.
fn at_a_terminal(line: &str, typed: &str) -> Finished {
    let launcher = envlatch();
    let launcher = launcher.path().display();
    let line = format!("envlatch() {{ {launcher} \"$@\"; }}\nstty -echo\n{line}");
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let script = "(until grep -q READY \"$1\" 2>/dev/null; do sleep 0.02; done; printf \"$2\"; sleep 0.2) | \
                  script --quiet --return --flush --log-out \"$1\" --command \"$0\"";
    Program::new("/bin/sh")
        .args([
            "-c".as_ref(),
            script.as_ref(),
            line.as_ref(),
            log.as_os_str(),
            typed.as_ref(),
        ])
        .env("PATH", "/usr/bin:/bin")
        .env("SHELL", "/bin/bash")
        .env("ENVLATCH_ON_CHANGE", "exit")
        .run()
}

#[test]
fn the_program_can_read_what_is_typed() {
    let finished = at_a_terminal(
        "envlatch run -- sh -c 'echo READY; read word; echo \"got $word\"'; echo \"code $?\"",
        "hello\n",
    );
    finished.stdout_has("got hello").stdout_has("code 0");
}

#[test]
fn the_shell_has_the_terminal_again_afterwards() {
    let line = "set -m; envlatch run -- sh -c 'exit 4'; echo \"code $?\"; echo READY; read word; echo \"shell got $word\"";
    at_a_terminal(line, "hello\\n")
        .stdout_has("code 4")
        .stdout_has("shell got hello");
}

#[test]
fn control_c_reaches_the_program() {
    let line = "trap : INT; envlatch run -- sh -c 'trap \"echo caught; exit 5\" INT; echo READY; while :; do sleep 0.05; done'; echo \"code $?\"";
    at_a_terminal(line, "\\003")
        .stdout_has("caught")
        .stdout_has("code 5");
}

/// Nobody would continue it, so the kernel would not have stopped it.
#[test]
fn a_terminal_stops_nothing_that_nobody_would_continue() {
    let line = "exec envlatch_path run -- sh -c 'echo READY; kill -TSTP $$; echo went on'";
    let path = envlatch().path().display().to_string();
    at_a_terminal(&line.replace("envlatch_path", &path), "").stdout_has("went on");
}

#[test]
fn a_shell_with_jobs_sees_the_stop_and_continues_both() {
    let line = "set -m; envlatch run -- sh -c 'echo READY; kill -TSTP $$; echo went on'; echo \"stopped $?\"; fg >/dev/null; echo \"code $?\"";
    let finished = at_a_terminal(line, "");
    finished
        .stdout_has("stopped 14")
        .stdout_has("went on")
        .stdout_has("code 0");
    let output = finished.stdout_text();
    assert!(
        output.find("stopped 14") < output.find("went on"),
        "{output}"
    );
}

#[test]
fn no_terminal_is_needed() {
    Program::new("/usr/bin/setsid")
        .args(["--wait".as_ref(), envlatch().path().as_os_str()])
        .args(["run", "--", "/bin/sh", "-c", "exit 6"])
        .env("PATH", "/usr/bin:/bin")
        .env("ENVLATCH_ON_CHANGE", "restart")
        .run()
        .expect_code(6);
}
