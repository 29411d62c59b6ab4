//! `envlatch install`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use envlatch_test_support::{Program, TempDir, test_child};

use crate::envlatch;

#[test]
fn the_copy_is_complete_executable_and_replaceable() {
    let shared = TempDir::new().unwrap();
    let dest = shared.path().join("envlatch");
    for _again in 0..2 {
        envlatch()
            .arg("install")
            .arg(&dest)
            .run()
            .success()
            .silent();
        assert_eq!(
            fs::metadata(&dest).unwrap().permissions().mode() & 0o7777,
            0o555
        );
        assert_eq!(
            fs::read(&dest).unwrap(),
            fs::read(envlatch().path()).unwrap()
        );
    }
    Program::new(&dest)
        .arg(test_child())
        .args(["exit", "7"])
        .run()
        .expect_code(7);
    assert_eq!(
        fs::read_dir(shared.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn a_directory_takes_the_copy_under_its_own_name() {
    let shared = TempDir::new().unwrap();
    envlatch().arg("install").arg(shared.path()).run().success();
    assert!(shared.path().join("envlatch").is_file());
}

#[test]
fn a_running_copy_is_replaced() {
    let shared = TempDir::new().unwrap();
    let dest = shared.path().join("envlatch");
    envlatch().arg("install").arg(&dest).run().success();
    let fifo = shared.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Waits in the open of its --env-file, and so is the old copy while it is replaced.
    let waiting = Program::new(&dest)
        .args(["run", "--env-file", fifo.to_str().unwrap(), "--"])
        .arg(test_child())
        .args(["exit", "3"])
        .spawn();
    envlatch().arg("install").arg(&dest).run().success();
    fs::write(&fifo, "").unwrap();
    waiting
        .wait_within(std::time::Duration::from_secs(10))
        .expect_code(3);
}

#[test]
fn what_cannot_be_written_is_73() {
    let file = TempDir::new().unwrap();
    fs::write(file.path().join("file"), "x").unwrap();
    for (dest, text) in [
        ("/absent/envlatch", "no such directory"),
        (file.path().join("file/x").to_str().unwrap(), "install: "),
    ] {
        envlatch()
            .args(["install", dest])
            .run()
            .expect_code(73)
            .stderr_has(text)
            .stderr_has(dest);
    }
    envlatch()
        .arg("install")
        .run()
        .expect_code(64)
        .stderr_has("DEST");
}
