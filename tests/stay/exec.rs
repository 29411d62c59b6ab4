//! `envlatch exec`: the program's environment for another command, guarded by the kernel alone.

use envlatch_test_support::{CsiVolume, Program, executable, test_child};

use crate::{envlatch, shell, waiting};

fn exec(words: &[&str]) -> Program {
    envlatch().arg("exec").args(words)
}

#[test]
fn a_command_gets_the_programs_environment_and_nothing_else() {
    let volume = CsiVolume::new(&[("VALUE", b"from a file")]);
    let mut running = shell(
        &["--dir", volume.path().to_str().unwrap()],
        "echo ready; sleep 60",
    )
    .spawn();
    running.wait_for_stdout("ready");
    let launcher = running.pid().to_string();
    let program = crate::children(running.pid().as_raw())[0].to_string();
    // By the launcher beside it and by itself.
    for pid in [&launcher, &program] {
        let report = exec(&["--pid", pid, "--"])
            .arg(test_child())
            .arg("report")
            .env("OWN", "1")
            .run()
            .success()
            .report();
        assert_eq!(report.env("VALUE").unwrap(), "from a file");
        assert_eq!(
            (report.env("OWN"), report.env("ENVLATCH_ON_CHANGE")),
            (None, None)
        );
    }
    exec(&["--pid", &launcher, "--", "sh", "-c", "exit 9"])
        .run()
        .expect_code(9);
    exec(&["--pid", &launcher, "--", "absent"])
        .run()
        .expect_code(127);
}

#[test]
fn it_works_after_a_plain_start_too() {
    let mut running = envlatch()
        .args(["run", "--", "/bin/sh", "-c", "echo ready; sleep 60"])
        .env("A", "1")
        .spawn();
    running.wait_for_stdout("ready");
    let pid = running.pid().to_string();
    let report = exec(&["--pid", &pid, "--"])
        .arg(test_child())
        .arg("report")
        .run()
        .success()
        .report();
    assert_eq!(report.env("A").unwrap(), "1");
}

#[test]
fn what_cannot_be_had_is_said() {
    exec(&["--pid", "4194304", "--", "true"])
        .run()
        .expect_code(66)
        .stderr_has("process 4194304: there is none");
    exec(&[])
        .args(["--pid", &std::process::id().to_string()])
        .run()
        .expect_code(64)
        .stderr_has("no command to start");
    exec(&["--pid", "0", "--", "true"]).run().expect_code(64);
    // A process without variables, and one that has overwritten them.
    for words in [["print", "ready"].as_slice(), &["scrub", "print", "ready"]] {
        let mut running = Program::new(test_child())
            .args(words)
            .args(["sleep", "60000"]);
        if words.len() > 2 {
            running = running.env("A", "1").env("B", "2");
        }
        let mut running = running.spawn();
        running.wait_for_stdout("ready");
        let pid = running.pid().to_string();
        let refused = exec(&["--pid", &pid, "--", "true"]).run();
        refused
            .expect_code(66)
            .stderr_has("its environment is empty, or it has overwritten it");
    }
}

/// Until then there are references in it, and what the launcher logs in with.
#[test]
fn a_program_that_has_not_started_has_no_environment() {
    for on_change in ["none", "restart"] {
        let mut running = waiting(on_change).spawn();
        running.wait_for_stderr("trying again");
        let pid = running.pid().to_string();
        let refused = exec(&["--pid", &pid, "--", "env"]).run();
        refused
            .expect_code(66)
            .stdout_is("")
            .stderr_has("is a launcher that has not started its program yet; ask again later");
    }
}

#[test]
#[ignore = "needs root, to start programs as other users: scripts/test servers"]
fn another_user_gets_nothing() {
    let mut running = shell(&[], "echo ready; sleep 60")
        .env("SECRET", "x")
        .spawn();
    running.wait_for_stdout("ready");
    for pid in [
        running.pid().as_raw(),
        crate::children(running.pid().as_raw())[0],
    ] {
        let launcher = envlatch();
        let path = launcher.path().to_str().unwrap().to_owned();
        let folder = envlatch_test_support::TempDir::with_prefix_in("exec", "/tmp").unwrap();
        let copy = folder.path().join("envlatch");
        executable(&copy, &std::fs::read(path).unwrap());
        std::os::unix::fs::chown(folder.path(), Some(65534), None).unwrap();
        let refused = Program::new("/usr/bin/setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .args(["exec", "--pid", &pid.to_string(), "--", "/usr/bin/env"])
            .env("PATH", "/usr/bin:/bin")
            .run();
        refused
            .expect_code(77)
            .stderr_has("its environment may not be read");
        assert!(refused.stdout.is_empty());
    }
}

/// The processes of another container, or of another pod with the same user, are not there to be asked.
#[test]
#[ignore = "needs root, to make a process namespace: scripts/test servers"]
fn another_container_sees_no_process_of_this_one() {
    let mut running = shell(&[], "echo ready; sleep 60")
        .env("SECRET", "x")
        .spawn();
    running.wait_for_stdout("ready");
    let refused = Program::new("/usr/bin/unshare")
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(envlatch().path())
        .args([
            "exec",
            "--pid",
            &running.pid().to_string(),
            "--",
            "/usr/bin/env",
        ])
        .env("PATH", "/usr/bin:/bin")
        .run();
    refused.expect_code(66).stderr_has("there is none");
    assert!(refused.stdout.is_empty());
}

/// As the first process of a container: no `--pid` is needed, staying or not.
#[test]
#[ignore = "needs root, to make a process namespace: scripts/test servers"]
fn the_first_process_is_found() {
    let path = envlatch().path().to_str().unwrap().to_owned();
    for on_change in ["none", "restart"] {
        let script = "env -i $0 exec -- /usr/bin/env; true";
        let finished = Program::new("/usr/bin/unshare")
            .args([
                "--pid",
                "--fork",
                "--mount-proc",
                &path,
                "run",
                "--on-change",
                on_change,
                "--",
            ])
            .args(["/bin/sh", "-c", script, &path])
            .env("PATH", "/usr/bin:/bin")
            .env("VALUE", "x")
            .run();
        finished.success().stdout_has("VALUE=x");
    }
}

/// What a pod with a shared process namespace has as its first process; here a shell of that name.
#[test]
#[ignore = "needs root, to make a process namespace: scripts/test servers"]
fn a_pause_container_is_recognised() {
    let folder = envlatch_test_support::TempDir::new().unwrap();
    let pause = folder.path().join("pause");
    executable(&pause, &std::fs::read("/bin/sh").unwrap());
    let finished = Program::new("/usr/bin/unshare")
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(&pause)
        .args(["-c", "$0 exec -- /usr/bin/env; exit $?"])
        .arg(envlatch().path())
        .env("PATH", "/usr/bin:/bin")
        .run();
    finished
        .expect_code(66)
        .stderr_has("process 1 is the pod's pause container");
}
