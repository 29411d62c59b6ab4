//! Bad inputs that need no server, one test for each row of the list.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use envlatch_test_support::{TempDir, executable, test_child};

use crate::{envlatch, run};

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

fn dir_option(directory: &TempDir) -> [&str; 2] {
    ["--dir", directory.path().to_str().unwrap()]
}

#[test]
fn l01_no_command() {
    let refused = envlatch().arg("run").run();
    refused
        .expect_code(64)
        .stderr_has("no command to start")
        .stderr_has("ENTRYPOINT resets the CMD")
        .stderr_has("docker image inspect");
    envlatch()
        .run()
        .expect_code(64)
        .stderr_has("no command to start");
    envlatch()
        .args(["run", "--"])
        .run()
        .expect_code(64)
        .stderr_has("no command to start");
}

#[test]
fn l02_command_that_cannot_start() {
    let files = directory(&[("plain", b"x")]);
    for (name, content) in [
        ("script", b"#!/absent/interpreter\n".as_slice()),
        ("elf", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x08\0"),
        ("junk", b"junk"),
    ] {
        executable(&files.path().join(name), content);
    }
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    for (command, code, text) in [
        ("/absent/command".to_owned(), 127, "no such file"),
        ("absent-command".to_owned(), 127, "not found in PATH"),
        (path("plain"), 126, "cannot be executed"),
        (
            files.path().to_str().unwrap().to_owned(),
            126,
            "cannot be executed",
        ),
        (path("elf"), 126, "another kind of machine"),
        (path("script"), 127, "/absent/interpreter, which is missing"),
        (path("junk"), 126, "needs #!"),
    ] {
        envlatch()
            .args(["run", "--", &command])
            .run()
            .expect_code(code)
            .stderr_has(text)
            .stderr_has(&command);
    }
}

#[test]
fn l03_nul_in_a_value() {
    let files = directory(&[("A", b"hunter2\0x"), ("B", b"fine")]);
    let refused = run(&dir_option(&files)).run();
    refused
        .expect_code(65)
        .stderr_has("A (from ")
        .stderr_has("holds a NUL byte")
        .stderr_lacks("hunter2");
}

#[test]
fn l04_one_value_too_long() {
    let files = directory(&[("A", &[b'x'; 131_070])]);
    run(&dir_option(&files))
        .run()
        .expect_code(65)
        .stderr_has("A (from ")
        .stderr_has("131073 bytes")
        .stderr_has("read it as a file");
}

#[test]
fn l05_everything_together_too_large() {
    let files: Vec<(String, Vec<u8>)> = (0..60)
        .map(|file| (format!("F{file:02}"), vec![b'x'; 120_000 + file]))
        .collect();
    let pairs: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    let refused = run(&dir_option(&directory(&pairs))).run();
    refused
        .expect_code(65)
        .stderr_has("environment and arguments have")
        .stderr_has("largest: F59 120064, F58 120063");
}

#[test]
fn l06_names_that_are_none() {
    let files = directory(&[
        ("A=B", b"x"),
        ("with space", b"y"),
        ("9lives", b"z"),
        ("GOOD", b"g"),
    ]);
    let refused = run(&dir_option(&files)).run();
    refused
        .expect_code(65)
        .stderr_has("`A=B`")
        .stderr_has("`9lives`, `with space`")
        .stderr_has("--allow-name '9lives' --allow-name 'with space'");
    let allowed = [
        "--allow-name",
        "9lives",
        "--allow-name",
        "with space",
        "--except",
        "A=B",
    ];
    let report = run(&[&dir_option(&files)[..], &allowed].concat())
        .run()
        .success()
        .report();
    assert_eq!(report.names(), ["9lives", "GOOD", "with space"]);
    run(&[&dir_option(&files)[..], &["--allow-name", "A=B"]].concat())
        .run()
        .expect_code(65)
        .stderr_has("neither empty nor hold `=`");
    run(&["--env", "A-B=file:/x"])
        .run()
        .expect_code(65)
        .stderr_has("`A-B` is no variable name");
}

#[test]
fn l07_inherited_bytes_that_are_no_text() {
    let odd = OsString::from_vec(b"\xff\xfe${HOME}".to_vec());
    assert_eq!(
        run(&[])
            .env("A", &odd)
            .run()
            .success()
            .report()
            .env("A")
            .unwrap(),
        odd
    );
}

#[test]
fn l08_inherited_entry_without_equals() {
    let report = run(&[])
        .raw_entry("WITHOUT_EQUALS")
        .env("A", "1")
        .run()
        .success()
        .report();
    assert_eq!(report.environ, ["A=1"]);
}

#[test]
fn l09_a_name_twice() {
    let report = run(&[])
        .raw_entry("A=first")
        .raw_entry("A=second")
        .run()
        .success()
        .report();
    assert_eq!(
        report.environ,
        ["A=first"],
        "the one that getenv finds, and once"
    );
}

#[test]
fn l10_names_that_run_code() {
    let files = directory(&[
        ("LD_PRELOAD", b"x"),
        ("PATH", b"y"),
        ("NODE_OPTIONS", b"z"),
        ("BASH_FUNC_ls%%", b"() { :; }"),
        ("GIT_TOKEN", b"t"),
    ]);
    let refused = run(&dir_option(&files)).run();
    refused
        .expect_code(78)
        .stderr_has("LD_PRELOAD loads code into every program")
        .stderr_has("BASH_FUNC_ls%%");
    refused
        .stderr_has("--allow-name 'LD_PRELOAD'")
        .stderr_lacks("GIT_TOKEN");
    let report = run(&[
        &dir_option(&files)[..],
        &["--only", "LD_PRELOAD", "--allow-name", "LD_PRELOAD"],
    ]
    .concat())
    .run();
    assert_eq!(report.success().report().env("LD_PRELOAD").unwrap(), "x");
}

#[test]
fn l11_what_is_no_regular_file() {
    let files = directory(&[("outside", b"x")]);
    let inner = files.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let _socket = UnixListener::bind(inner.join("SOCKET")).unwrap();
    nix::unistd::mkfifo(&inner.join("FIFO"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("LOOP", inner.join("LOOP")).unwrap();
    symlink("../outside", inner.join("OUT")).unwrap();
    symlink("absent", inner.join("GONE")).unwrap();
    let refused = run(&["--dir", inner.to_str().unwrap()]).run();
    refused
        .expect_code(65)
        .stderr_has("FIFO: is a fifo")
        .stderr_has("SOCKET: is a socket");
    refused
        .stderr_has("LOOP: its symbolic links form a loop")
        .stderr_has("OUT: leads out")
        .stderr_has("GONE: no such file");
    run(&["--dir", "/absent/directory"])
        .run()
        .expect_code(66)
        .stderr_has("no such directory; is the volume mounted there?");
    run(&["--dir", files.path().join("outside").to_str().unwrap()])
        .run()
        .expect_code(66)
        .stderr_has("is not a directory");
    run(&["--env", "A=file:/dev/null"])
        .run()
        .expect_code(65)
        .stderr_has("character device");
    run(&["--env", "A=file:/absent"])
        .run()
        .expect_code(66)
        .stderr_has("A (--env): file /absent: no such file");
}

#[test]
fn l12_endless_and_huge_files() {
    run(&["--env", "A=file:/dev/zero"])
        .run()
        .expect_code(65)
        .stderr_has("character device");
    let files = directory(&[("HUGE", b"")]);
    fs::File::options()
        .write(true)
        .open(files.path().join("HUGE"))
        .unwrap()
        .set_len(10 << 30)
        .unwrap();
    run(&dir_option(&files))
        .run()
        .expect_code(65)
        .stderr_has("HUGE: has more than 1048576 bytes; raise --max-file-size");
}

#[test]
fn l13_line_ends_and_marks_are_content() {
    let files = directory(&[("A", b"\xef\xbb\xbfa\r\n")]);
    let report = run(&dir_option(&files)).run().success().report();
    assert_eq!(
        report.environ,
        [OsString::from_vec(b"A=\xef\xbb\xbfa\r".to_vec())]
    );
}

#[test]
fn l15_empty_file() {
    let files = directory(&[("A", b""), ("B", b"\n")]);
    let finished = run(&dir_option(&files)).run();
    assert_eq!(finished.success().report().environ, ["A=", "B="]);
    finished
        .stderr_has("warning: ")
        .stderr_has("A is empty")
        .stderr_has("B is empty");
}

#[test]
fn l16_malformed_references_all_at_once() {
    let refused = run(&[])
        .env("A", "vault:hunter2")
        .env("B", "x${vault:secret/data/hunter2#k")
        .env("C", "vault:secret/data/app#k#hunter2")
        .env("D", "vault:secret/../hunter2#k")
        .env("E", "vault:secret/data/app#${.hunter2")
        .run();
    refused
        .expect_code(65)
        .stderr_has("5 problems")
        .stderr_lacks("hunter2");
    refused.stderr_has("A: column 7: a reference without a key; write vault:PATH#KEY");
    refused.stderr_has("B: column 2: `${` is never closed");
    refused.stderr_has("C: column 25: the part after the last `#` is no version");
    refused.stderr_has("D: column 7: a path with `.` or `..`");
    refused.stderr_has("E: column 23: template: `${` is never closed");
}

#[test]
fn l17_a_value_that_looks_like_a_reference_is_not_expanded_again() {
    let files = directory(&[("A", b"vault:secret/data/app#k"), ("B", b"${vault:x#y}")]);
    let report = run(&dir_option(&files)).run().success().report();
    assert_eq!(
        report.environ,
        ["A=vault:secret/data/app#k", "B=${vault:x#y}"]
    );
}

#[test]
fn l18_numbers_keep_their_digits() {
    let json = br#"{"big":9007199254740993,"huge":1e400,"dec":12.50,"on":true,"nothing":null,"map":{"a": 1}}"#;
    let files = directory(&[("doc", json)]);
    let path = files.path().join("doc");
    let options: Vec<String> = ["big", "huge", "dec", "on", "nothing", "map"]
        .iter()
        .map(|key| format!("{}=file:{}#/{key}", key.to_uppercase(), path.display()))
        .collect();
    let words: Vec<&str> = options
        .iter()
        .flat_map(|option| ["--env", option.as_str()])
        .collect();
    let report = run(&words).run().success().report();
    assert_eq!(
        report.environ,
        [
            "BIG=9007199254740993",
            "DEC=12.50",
            "HUGE=1e400",
            "MAP={\"a\":1}",
            "NOTHING=",
            "ON=true"
        ]
    );
}

#[test]
fn l21_templates_reach_nothing_but_the_secret() {
    for function in [
        "env \"HOME\"",
        "expandenv \"$HOME\"",
        "file \"/etc/passwd\"",
        "getHostByName \"localhost\"",
    ] {
        let refused = run(&[])
            .env("A", format!("vault:secret/data/app#${{{function}}}"))
            .run();
        refused.expect_code(65).stderr_has("is not offered");
    }
}

#[test]
fn l22_json_that_is_a_weapon() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for (json, text) in [
        (deep.as_str(), "nested deeper than 64"),
        (r#"{"a":"hunter2","a":1}"#, "key given twice"),
        ("{", "not valid JSON"),
    ] {
        let files = directory(&[("doc", json.as_bytes())]);
        let reference = format!("A=file:{}#/a", files.path().join("doc").display());
        run(&["--env", &reference])
            .run()
            .expect_code(65)
            .stderr_has(text)
            .stderr_lacks("hunter2");
    }
}

#[test]
fn several_kinds_of_problems_share_one_message() {
    let files = directory(&[("bad name", b"x")]);
    let refused = run(&dir_option(&files)).env("A", "vault:x").arg("x").run();
    refused
        .expect_code(65)
        .stderr_has("2 problems, nothing was started:");
    let refused = envlatch()
        .args(["run", "--dir", "/absent", "--", "/absent/command"])
        .env("A", "vault:x")
        .run();
    refused
        .expect_code(65)
        .stderr_has("3 problems")
        .stderr_has("/absent: no such directory")
        .stderr_has("/absent/command: no such file");
}

#[test]
fn a_failure_is_also_the_containers_last_word() {
    let log = TempDir::new().unwrap();
    let path = log.path().join("termination-log");
    fs::write(&path, "").unwrap();
    let refused = run(&[
        "--termination-log",
        path.to_str().unwrap(),
        "--dir",
        "/absent",
    ])
    .run();
    assert_eq!(fs::read(&path).unwrap(), refused.expect_code(66).stderr);
}

#[test]
fn failures_can_be_json() {
    let refused = run(&["--log-format", "json", "--dir", "/absent"])
        .env("A", "vault:x")
        .run();
    let line: serde_json::Value = serde_json::from_slice(&refused.expect_code(65).stderr).unwrap();
    assert_eq!(
        (line["level"].as_str(), line["exit_code"].as_u64()),
        (Some("error"), Some(65))
    );
    assert_eq!(line["problems"][0]["exit_code"], 65);
    assert_eq!(line["problems"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_command_gets_nothing_when_something_is_wrong() {
    let marker = TempDir::new().unwrap();
    let file = marker.path().join("ran");
    let refused = envlatch()
        .args(["run", "--dir", "/absent", "--"])
        .arg(test_child())
        .arg("report-to")
        .arg(&file)
        .run();
    refused.expect_code(66);
    assert!(!file.exists());
}

#[test]
fn wrong_settings_of_messages_stop_a_start_like_any_other() {
    let refused = run(&["--log-level", "loud", "--names", "loud"])
        .env("VAULT_JSON_LOG", "loud")
        .run();
    refused
        .expect_code(78)
        .stderr_has("--log-level: ")
        .stderr_has("--names: ")
        .stderr_has("VAULT_JSON_LOG: ");
}
