//! Directories of files: which generation, which files, which names.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use envlatch_test_support::{CsiVolume, Finished, Program, TempDir, refuse_call};
use nix::libc::SYS_openat2;
use nix::sys::stat::Mode;

use crate::run;

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    directory
}

fn with(directory: &TempDir, options: &[&str]) -> Program {
    run(&[&["--dir", directory.path().to_str().unwrap()], options].concat())
}

fn names(program: &Program) -> Vec<String> {
    program.run().success().report().names()
}

#[test]
fn a_volume_becomes_variables() {
    let volume = CsiVolume::new(&[("DB_PASSWORD", b"pa ss\n"), ("API_KEY", b"key")]);
    let report = run(&["--dir", volume.path().to_str().unwrap()])
        .env("Z", "z")
        .env("A", "a")
        .run()
        .success()
        .report();
    assert_eq!(
        report.environ,
        ["A=a", "API_KEY=key", "DB_PASSWORD=pa ss", "Z=z"],
        "sorted, each once"
    );
}

#[test]
fn a_plain_directory_works_too() {
    let secrets = directory(&[("db-password", b"x"), ("tls.key", b"y")]);
    assert_eq!(
        names(&with(&secrets, &["--names", "upper"])),
        ["DB_PASSWORD", "TLS_KEY"]
    );
    assert_eq!(
        names(&with(&secrets, &["--names", "upper", "--prefix", "APP_"])),
        ["APP_DB_PASSWORD", "APP_TLS_KEY"]
    );
    let twin = run(&[])
        .env("ENVLATCH_DIR", secrets.path())
        .env("ENVLATCH_NAMES", "upper");
    assert_eq!(names(&twin), ["DB_PASSWORD", "TLS_KEY"]);
}

#[test]
fn values_are_trimmed_as_the_shell_trims_them() {
    let secrets = directory(&[
        ("A", b"a\n\n"),
        ("B", b" b\r\n"),
        ("C", b"\xef\xbb\xbfc"),
        ("D", b"\xff\xfe"),
    ]);
    let report = with(&secrets, &[]).run().success().report();
    let value =
        |name: &str| std::os::unix::ffi::OsStrExt::as_bytes(report.env(name).unwrap()).to_vec();
    assert_eq!(
        (value("A"), value("B"), value("C"), value("D")),
        (
            b"a".to_vec(),
            b" b\r".to_vec(),
            b"\xef\xbb\xbfc".to_vec(),
            b"\xff\xfe".to_vec()
        )
    );
    assert_eq!(
        with(&secrets, &["--keep-newline"])
            .run()
            .success()
            .report()
            .env("A")
            .unwrap(),
        "a\n\n"
    );
}

#[test]
fn what_is_left_out_is_not_even_opened() {
    let secrets = directory(&[
        ("GOOD", b"x"),
        ("bad name", b"y"),
        ("big", &[b'x'; 2_000_000]),
    ]);
    nix::unistd::mkfifo(&secrets.path().join("fifo"), Mode::S_IRWXU).unwrap();
    assert_eq!(names(&with(&secrets, &["--only", "GOOD"])), ["GOOD"]);
    assert_eq!(
        names(&with(&secrets, &["--except", "b*", "--except", "fifo"])),
        ["GOOD"]
    );
}

#[test]
fn subdirectories_become_names_or_are_left_out() {
    let secrets = directory(&[("A", b"x"), ("db/password", b"y"), ("db/tls/key", b"z")]);
    with(&secrets, &[])
        .run()
        .expect_code(65)
        .stderr_has("db is a subdirectory")
        .stderr_has("--except 'db'")
        .stderr_has("--names upper");
    assert_eq!(names(&with(&secrets, &["--except", "db"])), ["A"]);
    assert_eq!(
        names(&with(&secrets, &["--names", "upper"])),
        ["A", "DB_PASSWORD", "DB_TLS_KEY"]
    );
}

#[test]
fn two_files_for_one_name_are_an_error() {
    let secrets = directory(&[("a-b", b"x"), ("a.b", b"y")]);
    with(&secrets, &["--names", "upper"])
        .run()
        .expect_code(65)
        .stderr_has("`a-b` and `a.b` both give A_B");
}

#[test]
fn precedence_is_inherited_then_directories_in_order() {
    let (first, second) = (
        directory(&[("A", b"first"), ("B", b"first")]),
        directory(&[("A", b"second")]),
    );
    let both = [
        "--dir",
        first.path().to_str().unwrap(),
        "--dir",
        second.path().to_str().unwrap(),
    ];
    let values = |options: &[&str]| {
        let report = run(&[&both, options].concat())
            .env("B", "inherited")
            .run()
            .success()
            .report();
        (
            report.env("A").unwrap().to_owned(),
            report.env("B").unwrap().to_owned(),
        )
    };
    assert_eq!(values(&[]), ("second".into(), "first".into()));
    assert_eq!(
        values(&["--on-conflict", "keep"]),
        ("first".into(), "inherited".into())
    );
    let refused = run(&[&both[..], &["--on-conflict", "error"]].concat())
        .env("B", "inherited")
        .run();
    refused
        .expect_code(65)
        .stderr_has("A: given by both")
        .stderr_has("B: given by both inherited and");
}

#[test]
fn a_size_at_the_limit_passes() {
    let limit = 1024 * 1024;
    let secrets = directory(&[("A", &vec![b'x'; limit])]);
    // The kernel takes 128 KiB in one string, so a larger file can only be checked up to there.
    with(&secrets, &[])
        .run()
        .expect_code(65)
        .stderr_has("has 1048579 bytes with its name, the kernel allows 131072");
    fs::write(secrets.path().join("A"), vec![b'x'; limit + 1]).unwrap();
    with(&secrets, &[])
        .run()
        .expect_code(65)
        .stderr_has("has more than 1048576 bytes");
    fs::write(secrets.path().join("A"), vec![b'x'; 131_069]).unwrap();
    assert_eq!(
        with(&secrets, &[])
            .run()
            .success()
            .report()
            .env("A")
            .unwrap()
            .len(),
        131_069
    );
}

/// A volume that is replaced as fast as possible: every start sees one generation, whole.
#[test]
fn l14_a_swap_never_mixes_generations() {
    let generation = |number: u32| -> Vec<(String, Vec<u8>)> {
        (0..20)
            .map(|file| (format!("F{file}"), format!("{number}").into_bytes()))
            .collect()
    };
    let borrow = |files: &[(String, Vec<u8>)]| -> Vec<(String, Vec<u8>)> { files.to_vec() };
    let files = borrow(&generation(0));
    let pairs: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    let mut volume = CsiVolume::new(&pairs);
    let path = volume.path().to_owned();
    let ended = AtomicBool::new(false);
    let swaps = AtomicU32::new(0);
    let mut seen = std::collections::BTreeSet::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let files = generation(1 + swaps.fetch_add(1, Ordering::Relaxed));
                let pairs: Vec<(&str, &[u8])> = files
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_slice()))
                    .collect();
                volume.swap(&pairs);
            }
        });
        // Also when a start fails, or the swaps would never end.
        let _end = OnDrop(&ended);
        let start = Instant::now();
        // Too few generations would prove nothing.
        for starts in 0.. {
            let swaps = swaps.load(Ordering::Relaxed);
            if starts >= 200 && swaps > 200 && seen.len() > 20 {
                break;
            }
            assert!(
                start.elapsed() < Duration::from_secs(300),
                "{starts} starts, {swaps} swaps, {} generations seen",
                seen.len()
            );
            let finished = run(&["--dir", path.to_str().unwrap()]).run();
            if held_up(&finished) {
                continue;
            }
            let report = finished.success().report();
            let values: Vec<_> = (0..20)
                .map(|file| report.env(&format!("F{file}")).unwrap().to_owned())
                .collect();
            assert!(
                values.iter().all(|value| *value == values[0]),
                "mixed generations: {values:?}"
            );
            seen.insert(values[0].clone());
        }
    });
}

/// Whether a start was given up because the volume was never the same for long, as one is that was stopped for seconds in
/// the middle of it.
fn held_up(finished: &Finished) -> bool {
    finished.code == Some(66) && finished.stderr_text().contains("kept being replaced")
}

/// Set when it goes, also by a panic.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What `openat2` does in one call is done step by step where a seccomp profile refuses it.
#[test]
fn directories_are_read_without_openat2() {
    for errno in [libc_errno("EPERM"), libc_errno("ENOSYS")] {
        // The filter holds for one thread and what it starts.
        std::thread::spawn(move || {
            refuse_call(SYS_openat2, errno);
            let volume = CsiVolume::new(&[("A", b"1"), ("B", b"2")]);
            let report = run(&["--dir", volume.path().to_str().unwrap()])
                .run()
                .success()
                .report();
            assert_eq!(report.names(), ["A", "B"]);
            let escaping = directory(&[("A", b"1")]);
            std::os::unix::fs::symlink("/etc/passwd", escaping.path().join("OUT")).unwrap();
            with(&escaping, &[])
                .run()
                .expect_code(66)
                .stderr_has("OUT: leads out of the directory");
        })
        .join()
        .unwrap();
    }
}

fn libc_errno(name: &str) -> u32 {
    let errno = if name == "EPERM" {
        nix::errno::Errno::EPERM
    } else {
        nix::errno::Errno::ENOSYS
    };
    u32::try_from(errno as i32).unwrap()
}

#[test]
fn file_references_read_one_file() {
    let secrets = directory(&[
        ("password", b"pw\n"),
        ("doc.json", br#"{"db":{"port":5432,"list":[1,2]}}"#),
    ]);
    let path = |name: &str| secrets.path().join(name).to_str().unwrap().to_owned();
    let reference = |name: &str, rest: &str| {
        format!(
            "{name}=file:{}{rest}",
            path(if rest.is_empty() {
                "password"
            } else {
                "doc.json"
            })
        )
    };
    let (a, b, c) = (
        reference("A", ""),
        reference("B", "#/db/port"),
        reference("C", "#/db/absent:-none"),
    );
    let report = run(&["--env", &a, "--env", &b, "--env", &c])
        .run()
        .success()
        .report();
    assert_eq!(report.environ, ["A=pw", "B=5432", "C=none"]);
    let env_file = directory(&[("env", format!("# comment\n{a}\n\n{b}\n").as_bytes())]);
    let report = run(&["--env-file", env_file.path().join("env").to_str().unwrap()])
        .run()
        .success()
        .report();
    assert_eq!(report.environ, ["A=pw", "B=5432"]);
}

#[test]
fn file_values_are_references_only_beneath_a_root_that_was_set() {
    let secrets = directory(&[("password", b"pw\n")]);
    let untouched = run(&[]).env("A", "file:password").run().success().report();
    assert_eq!(untouched.env("A").unwrap(), "file:password");
    for variable in ["ENVLATCH_FILE_ROOT", "FILE_MOUNT_PATH"] {
        let report = run(&[])
            .env("A", "file:password")
            .env(variable, secrets.path())
            .run()
            .success()
            .report();
        assert_eq!(
            report.env("A").unwrap(),
            "pw\n",
            "kept as secret-init keeps it"
        );
    }
    std::os::unix::fs::symlink("/etc/passwd", secrets.path().join("out")).unwrap();
    for value in ["file:out", "file:../../etc/passwd"] {
        let refused = run(&[])
            .env("A", value)
            .env("ENVLATCH_FILE_ROOT", secrets.path())
            .run();
        refused
            .expect_code(66)
            .stderr_has("A: file")
            .stderr_has("leads out of the directory");
    }
}

#[test]
fn a_start_does_not_wait_for_anything() {
    let secrets = directory(&[]);
    nix::unistd::mkfifo(&secrets.path().join("FIFO"), Mode::S_IRWXU).unwrap();
    with(&secrets, &[])
        .deadline(Duration::from_secs(20))
        .run()
        .expect_code(65)
        .stderr_has("FIFO: is a fifo, not a regular file");
}
