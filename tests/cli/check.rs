//! `envlatch check`.

use envlatch_test_support::CsiVolume;

use crate::envlatch;

#[test]
fn the_table_has_names_sources_and_no_values() {
    let volume = CsiVolume::new(&[("db-password", b"hunter2"), ("api-key", b"hunter22")]);
    let path = volume.path().to_str().unwrap();
    let check = envlatch()
        .args(["check", "--names", "upper", "--dir", path])
        .env("API_KEY", "hunter2")
        .env("OTHER", "x");
    let expected = format!(
        "NAME         SOURCE{0}  VERSION  LENGTH  NOTE\n\
         API_KEY      {path}/api-key        -       8  wins over inherited\n\
         DB_PASSWORD  {path}/db-password        -       7\n",
        " ".repeat(path.len() + "/db-password".len() - "SOURCE".len()),
    );
    let expected = expected.replace("/api-key        -", "/api-key            -");
    check.run().success().stdout_is(expected);
}

#[test]
fn json_is_for_machines() {
    let volume = CsiVolume::new(&[("A", b"hunter2")]);
    let reference = format!(
        "B=file:{}#/absent:-hunter2",
        volume.path().join("missing").display()
    );
    let check = envlatch()
        .args([
            "check",
            "--json",
            "--dir",
            volume.path().to_str().unwrap(),
            "--env",
            &reference,
        ])
        .run();
    let document: serde_json::Value = serde_json::from_slice(&check.success().stdout).unwrap();
    let rows = document["variables"].as_array().unwrap();
    assert_eq!(
        (
            rows[0]["name"].as_str(),
            rows[0]["length"].as_u64(),
            rows[0]["version"].is_null()
        ),
        (Some("A"), Some(7), true)
    );
    assert_eq!(
        (rows[1]["name"].as_str(), rows[1]["default_used"].as_bool()),
        (Some("B"), Some(true))
    );
    check.stderr_lacks("hunter2");
    assert!(!check.stdout_text().contains("hunter2"));
}

#[test]
fn what_would_stop_a_start_stops_a_check() {
    envlatch()
        .args(["check", "--dir", "/absent"])
        .run()
        .expect_code(66)
        .stderr_has("/absent: no such directory");
    envlatch()
        .args(["check", "--", "/absent/command"])
        .run()
        .expect_code(127)
        .stderr_has("/absent/command");
}
