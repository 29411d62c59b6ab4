use super::*;
use crate::cli::{self, Verb};

fn settings(line: &[&str], variables: &[(&str, &str)]) -> Result<Settings, Problems> {
    let environment = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let argv = ["envlatch", "run"]
        .iter()
        .chain(line)
        .chain(&["app"])
        .map(OsString::from);
    let Ok(Verb::Run(words)) = cli::parse(argv) else {
        panic!("{line:?}")
    };
    Settings::new(&words, &environment)
}

#[test]
fn a_flag_replaces_its_twin() {
    let variables = [
        ("ENVLATCH_DIR", "/a\n\n /b \n"),
        ("ENVLATCH_NAMES", "upper"),
        ("ENVLATCH_KEEP_NEWLINE", "true"),
    ];
    let from_twins = settings(&[], &variables).unwrap();
    assert_eq!(from_twins.dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(
        (from_twins.mapping, from_twins.keep_newline),
        (Mapping::Upper, true)
    );
    let from_flags = settings(&["--dir", "/c", "--names", "keep"], &variables).unwrap();
    assert_eq!(
        (from_flags.dirs, from_flags.mapping),
        (vec![PathBuf::from("/c")], Mapping::Keep)
    );
}

#[test]
fn sizes_and_durations_have_units() {
    for (size, expected) in [
        ("64KiB", 65536),
        ("1MiB", 1_048_576),
        ("2 GiB", 2 << 30),
        ("100", 100),
    ] {
        assert_eq!(
            settings(&["--max-file-size", size], &[])
                .unwrap()
                .max_file_size,
            expected,
            "{size}"
        );
    }
    for (text, expected) in [
        ("30s", 30_000),
        ("2m", 120_000),
        ("500ms", 500),
        ("5", 5_000),
    ] {
        assert_eq!(
            text.parse::<Wait>().map(|wait| wait.0.as_millis()),
            Ok(expected),
            "{text}"
        );
    }
}

#[test]
fn every_bad_setting_is_named_and_no_value_is_shown() {
    let line = [
        "--names",
        "hunter2",
        "--max-file-size",
        "hunter2",
        "--on-conflict",
        "hunter2",
        "--env",
        "9=vault:hunter2#k",
    ];
    let variables = [
        ("ENVLATCH_KEEP_NEWLINE", "hunter2"),
        ("VAULT_ENV_DELAY", "hunter2"),
        ("VAULT_ENV_DAEMON", "hunter2"),
        ("VAULT_ENV_RESTART_ON_SECRET_CHANGE", "hunter2"),
    ];
    let problems = settings(&line, &variables).err().unwrap();
    let message = problems.message();
    for name in [
        "--names",
        "--max-file-size",
        "--on-conflict",
        "--env",
        "ENVLATCH_KEEP_NEWLINE",
        "VAULT_ENV_DELAY",
        "VAULT_ENV_DAEMON",
        "VAULT_ENV_RESTART_ON_SECRET_CHANGE",
    ] {
        assert!(
            message.contains(&format!("- {name}:")),
            "{name} in {message}"
        );
    }
    assert!(!message.contains("hunter2"), "{message}");
    assert_eq!(problems.exit(), Exit::Config);
}

#[test]
fn peers_names_mean_what_they_mean_there() {
    let settings = settings(
        &[],
        &[
            ("VAULT_ENV_FROM_PATH", "secret/data/a#2, secret/data/b"),
            ("VAULT_IGNORE_MISSING_SECRETS", "true"),
            ("VAULT_ENV_PASSTHROUGH", "VAULT_ADDR,VAULT_ROLE"),
            ("VAULT_ENV_DELAY", "1s"),
            ("VAULT_TRANSIT_KEY_ID", "key"),
            ("VAULT_TRANSIT_BATCH_SIZE", "0"),
            ("FILE_MOUNT_PATH", "/"),
        ],
    )
    .unwrap();
    assert_eq!(settings.peers.from.len(), 2);
    assert!(settings.ignore_missing && settings.pass.holds(b"VAULT_ROLE"));
    assert_eq!(settings.peers.delay, Duration::from_secs(1));
    assert_eq!(
        settings
            .peers
            .transit
            .map(|transit| (transit.mount, transit.batch_size)),
        Some(("transit".into(), 25))
    );
    assert_eq!(settings.file_root, Some("/".into()));
}

#[test]
fn lines_of_a_file_keep_their_numbers() {
    let lines = env_lines(b"# comment\n\nA=vault:p#k\n  B=file:/x\n", "f");
    assert_eq!(
        lines,
        [
            ("A=vault:p#k".into(), "f:3".to_owned()),
            ("B=file:/x".into(), "f:4".to_owned())
        ]
    );
}

#[cfg(feature = "stay")]
#[test]
fn peers_that_stay_are_understood_until_the_option_decides() {
    let daemon = [("VAULT_ENV_DAEMON", "true")];
    let by_data = [
        ("VAULT_ENV_RESTART_ON_SECRET_CHANGE", "watch-for-data"),
        ("VAULT_ENV_SECRET_POLL_INTERVAL", "30"),
    ];
    let staying =
        |line: &[&str], variables: &[(&str, &str)]| settings(line, variables).unwrap().staying;
    let peer = staying(&[], &daemon).unwrap();
    assert_eq!((peer.action, peer.watches_values), (Action::Exit, false));
    let peer = staying(&[], &by_data).unwrap();
    assert_eq!((peer.action, peer.watches_values), (Action::Exit, true));
    assert_eq!(peer.poll, Duration::from_secs(30));
    let own = staying(
        &["--on-change", "restart", "--poll-interval", "5s"],
        &by_data,
    )
    .unwrap();
    assert_eq!(
        (own.action, own.poll),
        (Action::Restart, Duration::from_secs(5))
    );
    assert_eq!(staying(&["--on-change", "none"], &daemon), None);
    assert_eq!(staying(&[], &[]), None);
}
