//! The command line: which verb, which options, which command. Words stay bytes; nothing is checked beyond the syntax.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::options::{Opt, SECTIONS};

/// What a person asked for.
pub(crate) enum Verb {
    /// Resolve, then become the command.
    Run(Words),
    /// Resolve and print a table.
    Check {
        /// Options
        words: Words,
        /// As JSON
        json: bool,
    },
    /// Become a command with the environment of a program that runs.
    #[cfg(feature = "stay")]
    Exec {
        /// The program, or the launcher beside it
        pid: Option<u32>,
        /// The command and its arguments
        argv: Vec<OsString>,
    },
    /// Copy this program to a path.
    Install(OsString),
    /// Do nothing and succeed: the smoke test of a drop-in.
    Nothing,
    /// Text for stdout: help or version.
    Print(String),
}

/// What stood on the command line, not yet checked.
#[derive(Default)]
pub(crate) struct Words {
    matches: ArgMatches,
    /// The command and its arguments
    pub(crate) argv: Vec<OsString>,
}

/// Names under which the program behaves as the launcher it replaces: every word is the command.
const DROP_INS: [&str; 3] = ["vault-env", "secret-init", "env-injector"];

/// Where Deckhouse's init container copies the launcher to.
const SELF_COPY: &str = "/vault/env-injector";

/// Reserved for verbs to come, so that no command of these names is ever started by accident.
#[cfg(feature = "stay")]
const RESERVED: [&str; 1] = ["explain"];
#[cfg(not(feature = "stay"))]
const RESERVED: [&str; 2] = ["exec", "explain"];

const ABOUT: &str = "\
Puts secrets into the environment of a program and becomes that program.

Values come from files that a volume mounted (--dir), from a Vault-compatible server (--from, or references such as
vault:secret/data/app#password in the values of variables), or both. Nothing is started unless everything was found.";

#[cfg(feature = "stay")]
const USAGE: &str = "\
envlatch [run] [OPTIONS] [--] COMMAND [ARG]...
       envlatch check [OPTIONS] [--json] [-- COMMAND [ARG]...]
       envlatch exec [--pid N] [--] COMMAND [ARG]...
       envlatch install DEST";
#[cfg(not(feature = "stay"))]
const USAGE: &str = "\
envlatch [run] [OPTIONS] [--] COMMAND [ARG]...
       envlatch check [OPTIONS] [--json] [-- COMMAND [ARG]...]
       envlatch install DEST";

const EXAMPLES: &str = "\
Examples:
  envlatch run --dir /mnt/secrets --names upper -- /usr/bin/app --port 8080
  DB_PASSWORD=vault:secret/data/app#password envlatch run -- /usr/bin/app
  envlatch check --dir /mnt/secrets            what would be set, without values
  envlatch install /shared/envlatch            copy this program, for an init container

Each option is also a variable: --max-file-size is ENVLATCH_MAX_FILE_SIZE; lists hold one entry per line.";

/// Understands the command line of this process.
///
/// # Errors
/// The message for stderr when it is not understood.
pub(crate) fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Verb, String> {
    let mut words = argv.into_iter();
    let program = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    if let Some(name) = drop_in(&program) {
        return Ok(as_drop_in(name, words));
    }
    match words.first().and_then(|word| word.to_str()) {
        Some("run") => run(&words[1..]),
        Some("check") => check(&words[1..]),
        #[cfg(feature = "stay")]
        Some("exec") => exec(&words[1..]),
        Some("install") => install(&words[1..]),
        Some("help" | "--help" | "-h") => Ok(Verb::Print(help(words.get(1)))),
        Some("--version" | "-V") => Ok(Verb::Print(format!(
            "envlatch {}\n",
            env!("CARGO_PKG_VERSION")
        ))),
        Some(word) if RESERVED.contains(&word) => Err(format!(
            "`{word}` is reserved; to start a command of that name, write `envlatch run -- {word}`"
        )),
        _ => run(&words),
    }
}

fn drop_in(program: &OsStr) -> Option<&'static str> {
    let name = Path::new(program).file_name()?;
    DROP_INS.into_iter().find(|known| name == *known)
}

fn as_drop_in(name: &str, words: Vec<OsString>) -> Verb {
    match (name, words.first().and_then(|word| word.to_str())) {
        ("env-injector", Some("--self-copy")) => Verb::Install(SELF_COPY.into()),
        ("env-injector", Some("--dummy-run")) => Verb::Nothing,
        _ => Verb::Run(Words {
            argv: words,
            ..Words::default()
        }),
    }
}

fn run(words: &[OsString]) -> Result<Verb, String> {
    matched(run_command(), words, |matches| {
        Verb::Run(Words::from(matches))
    })
}

fn check(words: &[OsString]) -> Result<Verb, String> {
    matched(check_command(), words, |matches| {
        let json = matches.get_flag("json");
        Verb::Check {
            words: Words::from(matches),
            json,
        }
    })
}

#[cfg(feature = "stay")]
fn exec(words: &[OsString]) -> Result<Verb, String> {
    matched(exec_command(), words, |mut matches| Verb::Exec {
        pid: matches.remove_one("pid"),
        argv: Words::from(matches).argv,
    })
}

fn install(words: &[OsString]) -> Result<Verb, String> {
    matched(install_command(), words, |mut matches| {
        Verb::Install(matches.remove_one("DEST").expect("clap demands DEST"))
    })
}

fn matched(
    command: Command,
    words: &[OsString],
    verb: impl FnOnce(ArgMatches) -> Verb,
) -> Result<Verb, String> {
    match command.try_get_matches_from(words) {
        Ok(matches) => Ok(verb(matches)),
        Err(error) if error.use_stderr() => Err(error
            .to_string()
            .trim_start_matches("error: ")
            .trim_end()
            .to_owned()),
        Err(help) => Ok(Verb::Print(help.to_string())),
    }
}

fn help(verb: Option<&OsString>) -> String {
    let mut command = match verb.and_then(|word| word.to_str()) {
        Some("check") => check_command(),
        #[cfg(feature = "stay")]
        Some("exec") => exec_command(),
        Some("install") => install_command(),
        Some("run") => run_command(),
        _ => run_command()
            .override_usage(USAGE)
            .about(ABOUT)
            .after_help(EXAMPLES),
    };
    command.render_help().to_string()
}

fn run_command() -> Command {
    verb("run", "Resolves everything, then becomes COMMAND")
        .override_usage("envlatch run [OPTIONS] [--] COMMAND [ARG]...")
        .after_help(EXAMPLES)
        .args(option_args())
        .arg(command_arg())
}

fn check_command() -> Command {
    verb("check", "Resolves everything and prints a table of names and sources, without values; starts nothing")
        .override_usage("envlatch check [OPTIONS] [--json] [-- COMMAND [ARG]...]")
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON instead of a table"))
        .args(option_args())
        .arg(command_arg())
}

#[cfg(feature = "stay")]
fn exec_command() -> Command {
    let pid = Arg::new("pid")
        .long("pid")
        .value_name("N")
        .value_parser(clap::value_parser!(u32).range(1..));
    verb("exec", "Becomes COMMAND with the environment of the program that runs here, for probes and kubectl exec")
        .override_usage("envlatch exec [--pid N] [--] COMMAND [ARG]...")
        .arg(pid.help("The program's process id, or that of the launcher beside it [default: 1]"))
        .arg(command_arg())
}

fn install_command() -> Command {
    verb("install", "Copies this program to DEST: complete or not at all, mode 0555, again and again, as any user")
        .override_usage("envlatch install DEST")
        .arg(Arg::new("DEST").required(true).value_parser(ValueParser::os_string()).help("A path, or a directory"))
}

fn verb(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .bin_name(format!("envlatch {name}"))
        .no_binary_name(true)
        .about(about)
        .disable_version_flag(true)
}

fn option_args() -> impl Iterator<Item = Arg> {
    SECTIONS.iter().flat_map(|section| {
        section
            .options
            .iter()
            .map(|option| arg(option).help_heading(section.heading))
    })
}

fn arg(option: &'static Opt) -> Arg {
    let arg = Arg::new(option.name).long(option.name).help(option.help);
    match option.value {
        None => arg.action(ArgAction::SetTrue),
        Some(value) => {
            let action = if option.list {
                ArgAction::Append
            } else {
                ArgAction::Set
            };
            arg.value_name(value)
                .action(action)
                .value_parser(ValueParser::os_string())
        }
    }
}

/// The command: from its first word on, everything is its own.
fn command_arg() -> Arg {
    Arg::new("COMMAND")
        .num_args(0..)
        .trailing_var_arg(true)
        .value_parser(ValueParser::os_string())
        .hide(true)
}

// === impl Words ===

impl Words {
    /// What was given for a list option, in order.
    pub(crate) fn list(&self, option: &str) -> Vec<OsString> {
        self.matches
            .try_get_many(option)
            .ok()
            .flatten()
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// What was given for an option of one value.
    pub(crate) fn one(&self, option: &str) -> Option<OsString> {
        self.matches.try_get_one(option).ok().flatten().cloned()
    }

    /// Whether a switch was given.
    pub(crate) fn switch(&self, option: &str) -> bool {
        self.matches
            .try_get_one(option)
            .ok()
            .flatten()
            .copied()
            .unwrap_or(false)
    }
}

impl From<ArgMatches> for Words {
    fn from(mut matches: ArgMatches) -> Self {
        let argv = matches
            .remove_many("COMMAND")
            .into_iter()
            .flatten()
            .collect();
        Self { matches, argv }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options;

    fn words(line: &[&str]) -> Words {
        match parse(line.iter().map(OsString::from)) {
            Ok(Verb::Run(words) | Verb::Check { words, .. }) => words,
            _ => panic!("{line:?} starts no command"),
        }
    }

    #[test]
    fn parsing_stops_at_the_command() {
        for (line, argv) in [
            (
                vec!["envlatch", "app", "--dir", "x"],
                vec!["app", "--dir", "x"],
            ),
            (
                vec!["envlatch", "run", "--dir", "/d", "app", "--", "-x"],
                vec!["app", "--", "-x"],
            ),
            (
                vec!["envlatch", "run", "--", "run", "--help"],
                vec!["run", "--help"],
            ),
            (vec!["envlatch", "--", "check"], vec!["check"]),
            (vec!["envlatch", "--dir=/d", "--", "-odd"], vec!["-odd"]),
            (
                vec!["envlatch", "check", "--", "app", "--json"],
                vec!["app", "--json"],
            ),
            (
                vec!["/bin/vault-env", "check", "--json"],
                vec!["check", "--json"],
            ),
            (vec!["secret-init", "--help"], vec!["--help"]),
        ] {
            assert_eq!(words(&line).argv, argv, "{line:?}");
        }
    }

    #[test]
    fn lists_keep_their_order() {
        assert_eq!(
            words(&["envlatch", "--dir", "/a", "--dir", "/b", "app"]).list("dir"),
            ["/a", "/b"]
        );
    }

    #[test]
    fn drop_ins_keep_the_words_of_deckhouse() {
        let parsed = |line: &[&str]| parse(line.iter().map(OsString::from)).unwrap();
        assert!(
            matches!(parsed(&["/bin/env-injector", "--self-copy"]), Verb::Install(dest) if dest == SELF_COPY)
        );
        assert!(matches!(
            parsed(&["env-injector", "--dummy-run"]),
            Verb::Nothing
        ));
    }

    #[test]
    fn unknown_options_and_reserved_words_are_refused() {
        let refused = |line: &[&str]| parse(line.iter().map(OsString::from)).err().unwrap();
        assert!(refused(&["envlatch", "run", "--dirr", "/x", "app"]).contains("--dir"));
        assert!(refused(&["envlatch", "explain"]).contains("envlatch run -- explain"));
        assert!(refused(&["envlatch", "install"]).contains("DEST"));
    }

    #[test]
    fn every_option_is_in_the_help() {
        let text = help(None);
        for option in options::all() {
            assert!(
                text.contains(&format!("--{}", option.name)),
                "{}",
                option.name
            );
        }
    }
}
