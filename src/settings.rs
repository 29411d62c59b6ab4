//! Settings, checked: flags first, then their `ENVLATCH_*` twins, then the names that the peers' manifests use.
//!
//! Nothing is read here but the environment value that was passed in, and `--env-file`. Every bad setting is reported, by
//! the name it was given under and never with its value.

mod given;
mod peers;
mod server_options;
#[cfg(feature = "stay")]
mod staying;

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use envlatch_reference::{BulkPath, Parsed, nearest, parse_explicit};

use crate::cli::Words;
use crate::environment::Environment;
use crate::logging::{self, Format, Level};
use crate::name::{self, Mapping, Patterns, Selection};
use crate::options;
use crate::problem::{Exit, Problems};

pub(crate) use given::Given;
pub(crate) use peers::Peers;
#[cfg(feature = "vault")]
pub(crate) use peers::Transit;
pub(crate) use server_options::ServerOptions;
#[cfg(feature = "stay")]
pub(crate) use staying::{Action, Staying};

/// Everything that was asked for, except where messages go.
pub(crate) struct Settings {
    pub(crate) dirs: Vec<PathBuf>,
    pub(crate) from: Vec<BulkPath>,
    /// `--env` and `--env-file`
    pub(crate) explicit: Vec<Explicit>,
    pub(crate) mapping: Mapping,
    pub(crate) prefix: Vec<u8>,
    pub(crate) selection: Selection,
    /// Names that a bulk source may set although they are refused or unusual
    pub(crate) allowed: HashSet<Vec<u8>>,
    pub(crate) on_conflict: OnConflict,
    pub(crate) ignore_missing: bool,
    pub(crate) pass: Patterns,
    /// Bytes
    pub(crate) max_file_size: u64,
    pub(crate) keep_newline: bool,
    /// Where `file:` paths start; `file:` is a reference in inherited values only when this is set
    pub(crate) file_root: Option<PathBuf>,
    /// Total time for the server
    pub(crate) timeout: Duration,
    pub(crate) server: ServerOptions,
    /// Whether and how to stay beside the program
    #[cfg(feature = "stay")]
    pub(crate) staying: Option<Staying>,
    /// What manifests for other launchers ask for
    pub(crate) peers: Peers,
}

/// One variable that `--env` or `--env-file` sets.
pub(crate) struct Explicit {
    pub(crate) name: Vec<u8>,
    pub(crate) parsed: Parsed,
    /// Where it was said, for messages
    pub(crate) place: String,
}

/// What happens when two sources give one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// The later source wins: inherited, `--dir`, `--from`, references
    #[default]
    Overwrite,
    /// The earlier source wins
    Keep,
    /// Nothing is started
    Error,
}

/// Where messages go; usable even when every other setting is wrong.
pub(crate) struct Output {
    pub(crate) level: Level,
    pub(crate) format: Format,
    pub(crate) termination_log: PathBuf,
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_MAX_FILE_SIZE: u64 = 1024 * 1024;
const TERMINATION_LOG: &str = "/dev/termination-log";

// === impl Settings ===

impl Settings {
    /// Checks everything.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub(crate) fn new(words: &Words, environment: &Environment) -> Result<Self, Problems> {
        let given = Given { words, environment };
        let mut problems = Problems::default();
        let peers = problems
            .collect(Peers::new(environment))
            .unwrap_or_default();
        let settings = Self {
            dirs: given.list("dir").map(|(path, _)| path.into()).collect(),
            from: given.parsed_list("from", BulkPath::parse, &mut problems),
            explicit: explicit(&given, &mut problems),
            mapping: given.parsed("names", &mut problems).unwrap_or_default(),
            prefix: given
                .one("prefix")
                .map(|(text, _)| text.into_vec())
                .unwrap_or_default(),
            selection: Selection::new(
                &given.texts("only", &mut problems),
                &given.texts("except", &mut problems),
            ),
            allowed: given
                .list("allow-name")
                .map(|(name, _)| name.into_vec())
                .collect(),
            on_conflict: given
                .parsed("on-conflict", &mut problems)
                .unwrap_or_default(),
            ignore_missing: given.switch("ignore-missing", &mut problems) || peers.ignore_missing,
            pass: Patterns::new(&[given.texts("pass", &mut problems), peers.pass.clone()].concat()),
            max_file_size: given
                .parsed::<Size>("max-file-size", &mut problems)
                .map_or(DEFAULT_MAX_FILE_SIZE, |size| size.0),
            keep_newline: given.switch("keep-newline", &mut problems),
            file_root: environment
                .get(options::FILE_ROOT)
                .map(PathBuf::from)
                .or_else(|| peers.file_root.clone()),
            timeout: given
                .parsed::<Wait>("timeout", &mut problems)
                .map_or(DEFAULT_TIMEOUT, |wait| wait.0),
            server: ServerOptions::new(&given, &mut problems),
            #[cfg(feature = "stay")]
            staying: Staying::new(&given, &peers, &mut problems),
            peers,
        };
        warn_of_slips(environment);
        problems.or_ok(settings)
    }
}

/// `--env NAME=REF`, and the lines of `--env-file`.
fn explicit(given: &Given<'_>, problems: &mut Problems) -> Vec<Explicit> {
    let mut lines: Vec<(OsString, String)> = given.list("env").collect();
    for (file, option) in given.list("env-file") {
        let shown = PathBuf::from(&file).display().to_string();
        match std::fs::read(&file) {
            Ok(content) => lines.extend(env_lines(&content, &shown)),
            Err(error) => problems.add(
                Exit::Missing,
                format!("{option}: {shown} cannot be read: {error}"),
            ),
        }
    }
    lines
        .into_iter()
        .filter_map(|(line, place)| problems.collect(explicit_line(line.as_bytes(), place)))
        .collect()
}

/// Lines that say something, each with its place.
fn env_lines(content: &[u8], file: &str) -> Vec<(OsString, String)> {
    content
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
        .map(|(index, line)| {
            (
                OsString::from_vec(line.to_vec()),
                format!("{file}:{}", index + 1),
            )
        })
        .collect()
}

fn explicit_line(line: &[u8], place: String) -> Result<Explicit, Problems> {
    let problem = |exit, text: String| Err(crate::problem::Problem::new(exit, text).into());
    let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
        return problem(Exit::Config, format!("{place}: write NAME=REF"));
    };
    let (name, value) = (&line[..equals], &line[equals + 1..]);
    if !name::is_portable(name) {
        let name = name::shown(name);
        return problem(
            Exit::Data,
            format!("{place}: `{name}` is no variable name; use letters, digits and _"),
        );
    }
    match parse_explicit(value) {
        Ok(parsed) => Ok(Explicit {
            name: name.to_vec(),
            parsed,
            place,
        }),
        Err(error) => problem(
            Exit::Data,
            format!("{place}: {}: {error}", name::shown(name)),
        ),
    }
}

/// An unknown `ENVLATCH_*` name is no error, because Kubernetes makes such names for a Service called envlatch. One that
/// differs from a setting by a slip of the fingers is worth a word.
fn warn_of_slips(environment: &Environment) {
    let ours = environment
        .iter()
        .filter(|(name, _)| name.starts_with(b"ENVLATCH_"));
    for name in ours.filter_map(|(name, _)| std::str::from_utf8(name).ok()) {
        let known: Vec<String> = options::variables().collect();
        if known.iter().any(|known| known == name) {
            continue;
        }
        if let Some(meant) = nearest(name, known.iter().map(String::as_str)) {
            logging::warn(format_args!(
                "{name} is no setting and is ignored; did you mean {meant}?"
            ));
        }
    }
}

// === impl Output ===

impl Output {
    /// What can be understood; the rest is reported with the other settings.
    pub(crate) fn new(words: &Words, environment: &Environment) -> (Self, Problems) {
        let given = Given { words, environment };
        let mut problems = Problems::default();
        let peers = peers::output(environment, &mut problems);
        let level = given
            .parsed("log-level", &mut problems)
            .or(peers.0)
            .unwrap_or(Level::Warn);
        let format = given
            .parsed("log-format", &mut problems)
            .or(peers.1)
            .unwrap_or_default();
        let termination_log = given
            .one("termination-log")
            .map_or(TERMINATION_LOG.into(), |(path, _)| path.into());
        (
            Self {
                level,
                format,
                termination_log,
            },
            problems,
        )
    }
}

// === parsing ===

/// A size in bytes: `65536`, `64KiB`, `1MiB`.
struct Size(u64);

/// A time to wait: `30s`, `2m`, `500ms`; a number alone counts seconds.
pub(crate) struct Wait(pub(crate) Duration);

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const UNITS: [(&str, u64); 4] = [
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("", 1),
        ];
        let unit = UNITS.iter().find(|(unit, _)| text.ends_with(unit));
        let bytes = unit.and_then(|(unit, factor)| {
            text.strip_suffix(unit)?
                .trim_end()
                .parse::<u64>()
                .ok()?
                .checked_mul(*factor)
        });
        match bytes.ok_or("is no size; write it as 65536, 64KiB or 1MiB")? {
            0 => Err("must be more than nothing"),
            bytes => Ok(Self(bytes)),
        }
    }
}

impl FromStr for Wait {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(seconds) => Ok(Self(Duration::from_secs(seconds))),
            Err(_has_a_unit) => humantime::parse_duration(text)
                .map(Self)
                .map_err(|_unit| "is no duration; write it with a unit, such as 30s, 2m or 500ms"),
        }
    }
}

impl FromStr for Mapping {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "keep" => Ok(Self::Keep),
            "upper" => Ok(Self::Upper),
            _ => Err("is neither keep nor upper"),
        }
    }
}

impl FromStr for OnConflict {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "overwrite" => Ok(Self::Overwrite),
            "keep" => Ok(Self::Keep),
            "error" => Ok(Self::Error),
            _ => Err("is neither overwrite, keep nor error"),
        }
    }
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("is neither text nor json"),
        }
    }
}

#[cfg(test)]
mod tests;
