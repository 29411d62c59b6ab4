//! Messages to stderr, as text or JSON lines. stdout belongs to the program that is started.
//!
//! This is a dozen lines of its own, because the `log` and `tracing` crates are compiled out: what other crates would say
//! through them cost a fifteenth of the binary, and a page fault at every start for each page of their call sites.

use std::fmt;
use std::io::Write as _;
use std::str::FromStr;
use std::sync::OnceLock;

use envlatch_secret::Value;

/// How much a message matters; later ones matter less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The form of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// `envlatch: warning: …`
    #[default]
    Text,
    /// `{"level":"warning","message":"…"}`
    Json,
}

/// Which messages are printed, and how. Until it is set, none is but the last words of a failure.
static OUTPUT: OnceLock<(Level, Format)> = OnceLock::new();

/// From now on messages of `level` and above are printed.
pub(crate) fn init(level: Level, format: Format) {
    // Set once per process; only a test sets it again, to the same.
    let _already_set = OUTPUT.set((level, format));
}

/// Whether warnings are for debugging only.
#[cfg(feature = "stay")]
static HUSHED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// From now on warnings are for debugging only: this process repeats what another has warned about already.
#[cfg(feature = "stay")]
pub(crate) fn hush() {
    HUSHED.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// Something that somebody should look at, though it stops nothing.
pub(crate) fn warn(message: fmt::Arguments<'_>) {
    #[cfg(feature = "stay")]
    if HUSHED.load(std::sync::atomic::Ordering::Relaxed) {
        return log(Level::Debug, message);
    }
    log(Level::Warn, message);
}

/// What was done, for those who ask for it.
#[cfg(feature = "stay")]
pub(crate) fn info(message: fmt::Arguments<'_>) {
    log(Level::Info, message);
}

/// A step, for finding a fault.
#[cfg(any(feature = "stay", feature = "vault"))]
pub(crate) fn debug(message: fmt::Arguments<'_>) {
    log(Level::Debug, message);
}

fn log(level: Level, message: fmt::Arguments<'_>) {
    if let Some((_, format)) = OUTPUT.get().filter(|(most, _)| level <= *most) {
        print(&line(*format, level, &message.to_string(), Vec::new()));
    }
}

/// One line of a message, in the form that was asked for.
pub(crate) fn line(
    format: Format,
    level: Level,
    message: &str,
    more: Vec<(String, Value)>,
) -> Vec<u8> {
    match (format, level) {
        (Format::Text, Level::Error) => format!("envlatch: {message}\n").into_bytes(),
        (Format::Text, level) => format!("envlatch: {}: {message}\n", word(level)).into_bytes(),
        (Format::Json, level) => {
            let text = |text: &str| Value::String(text.into());
            let mut members = vec![
                ("level".to_owned(), text(word(level))),
                ("message".to_owned(), text(message)),
            ];
            members.extend(more);
            let mut line = Value::Object(members).to_json().expose().to_vec();
            line.push(b'\n');
            line
        }
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// Prints, and does not mind a stderr that is closed: there is nobody left to tell.
pub(crate) fn print(line: &[u8]) {
    let _nobody_listens = std::io::stderr().lock().write_all(line);
}

// === impl Level ===

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err("is none of error, warn, info, debug and trace"),
        }
    }
}
