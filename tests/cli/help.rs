//! Help and version.

use crate::envlatch;

#[test]
fn help_goes_to_stdout_in_every_way_it_can_be_asked_for() {
    for words in [
        vec!["--help"],
        vec!["-h"],
        vec!["help"],
        vec!["run", "--help"],
        vec!["check", "--help"],
        vec!["help", "check"],
    ] {
        let help = envlatch().args(&words).run();
        help.success()
            .stdout_has("--dir <PATH>")
            .stdout_has("Usage: envlatch");
        assert!(help.stderr.is_empty());
    }
    envlatch()
        .arg("help")
        .run()
        .success()
        .stdout_has("Examples:")
        .stdout_has("envlatch install DEST");
    envlatch()
        .args(["install", "--help"])
        .run()
        .success()
        .stdout_has("DEST");
}

#[test]
fn version_is_one_line() {
    envlatch()
        .arg("--version")
        .run()
        .success()
        .stdout_is(format!("envlatch {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn slips_are_answered_with_what_was_meant() {
    envlatch()
        .args(["run", "--dirs", "/x", "--", "app"])
        .run()
        .expect_code(64)
        .stderr_has("--dirs")
        .stderr_has("--dir");
    envlatch()
        .arg("explain")
        .run()
        .expect_code(64)
        .stderr_has("envlatch run -- explain");
}
