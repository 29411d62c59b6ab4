//! Messages on stderr. Of other crates only what goes wrong: at their most talkative they print what is in requests.

use std::io;

use clap::{Args, ValueEnum};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

/// Which messages are printed, and how.
#[derive(Args, Clone, Copy, Debug)]
pub struct LogSettings {
    /// Which messages go to stderr
    #[arg(long, env = "ENVLATCH_LOG_LEVEL", default_value = "info")]
    pub log_level: LogLevel,

    /// Form of messages
    #[arg(long, env = "ENVLATCH_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Form of messages on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Least important message that is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "levels are what their names say")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

// === impl LogSettings ===

impl LogSettings {
    /// Sends the process's messages to stderr from now on.
    ///
    /// # Panics
    /// When called twice.
    pub fn start(self) {
        let ours = Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("envlatch", Level::from(self.log_level));
        let lines = fmt::layer()
            .with_target(false)
            .with_ansi(false)
            .with_writer(io::stderr);
        let lines = match self.log_format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        registry().with(lines.with_filter(ours)).init();
    }
}

// === impl LogLevel ===

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}
