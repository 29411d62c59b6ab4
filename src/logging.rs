//! Messages to stderr, as text or JSON lines. stdout belongs to the program that is started.

use std::io::Write as _;

use envlatch_secret::Value;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// The form of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// `envlatch: warning: …`
    #[default]
    Text,
    /// `{"level":"warn","message":"…"}`
    Json,
}

struct Stderr(Format);

/// From now on messages of `level` and above are printed. Only this product's own: libraries below say things that help
/// nobody, and were not read for what they might show.
pub(crate) fn init(level: LevelFilter, format: Format) {
    // A second logger in one process is only possible in tests, where the first one serves.
    if log::set_boxed_logger(Box::new(Stderr(format))).is_ok() {
        log::set_max_level(level);
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

// === impl Stderr ===

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("envlatch")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            print(&line(
                self.0,
                record.level(),
                &record.args().to_string(),
                Vec::new(),
            ));
        }
    }

    fn flush(&self) {}
}
