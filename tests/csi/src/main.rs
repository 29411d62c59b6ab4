//! The node plugin with a scripted source: what it mounts, and how it fails, is read from a file at every call.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Parser;
use envlatch_csi::Context;
use envlatch_csi::content::{Content, File, Mode, MountPath};
use envlatch_csi::settings::Settings;
use envlatch_csi::source::{Fetched, Mounted, Source, SourceError, VolumeRequest};
use envlatch_csi_tests::script::Script;
use envlatch_secret::Secret;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    settings: Settings,
    /// Directory of the script and of the log of calls
    #[arg(long, env = envlatch_csi_tests::kubelet::SCRIPT)]
    script: PathBuf,
}

struct Scripted {
    directory: PathBuf,
    /// Which volume was due last
    turn: AtomicU32,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let directory = options.script;
    let build = move |_: Context<'_>| {
        Ok(Scripted {
            directory,
            turn: AtomicU32::new(0),
        })
    };
    match envlatch_csi::run(options.settings, build) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                eprintln!("plugin: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

// === impl Scripted ===

impl Source for Scripted {
    async fn fetch(
        &self,
        request: &VolumeRequest,
        mounted: Option<&Mounted>,
    ) -> Result<Fetched, SourceError> {
        let text = |state: Option<&Secret>| {
            state
                .and_then(|state| state.expose_str())
                .unwrap_or("-")
                .to_owned()
        };
        self.log(&format!(
            "fetch {} mounted={} intact={} state={} abandoned={} tokens={:?}",
            request.volume_id,
            mounted.is_some(),
            mounted.is_some_and(|mounted| mounted.intact),
            text(mounted.and_then(|mounted| mounted.state.as_ref())),
            text(mounted.and_then(|mounted| mounted.abandoned.as_ref())),
            request.tokens.keys().collect::<Vec<_>>(),
        ));
        let mut script = Script::read(&self.directory);
        while script.held {
            tokio::time::sleep(Duration::from_millis(5)).await;
            script = Script::read(&self.directory);
        }
        tokio::time::sleep(Duration::from_millis(script.delay_ms)).await;
        if let Some((code, message)) = script.fail {
            return Err(SourceError {
                code: code.into(),
                reason: "Scripted",
                message,
            });
        }
        let state = Secret::from(script.version.to_string());
        if mounted.is_some_and(|mounted| mounted.intact && mounted.state.as_ref() == Some(&state)) {
            return Ok(Fetched::Unchanged);
        }
        let content = content(&script.files);
        Ok(Fetched::Content { content, state })
    }

    async fn due(&self) -> String {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let (turn, volume_id) = Script::due(&self.directory);
            if self.turn.swap(turn, Ordering::Relaxed) < turn {
                return volume_id;
            }
        }
    }

    fn resume(&self, volume_id: &str, state: &Secret) {
        let state = state.expose_str().unwrap_or("-");
        self.log(&format!("resume {volume_id} state={state}"));
    }

    async fn forget(&self, volume_id: &str, state: Option<&Secret>) {
        let state = state.and_then(|state| state.expose_str()).unwrap_or("-");
        self.log(&format!("forget {volume_id} state={state}"));
    }

    async fn flush(&self, _within: Duration) {
        self.log("flush");
    }

    async fn refused(&self, request: &VolumeRequest, error: &SourceError) {
        self.log(&format!("refused {} {error}", request.volume_id));
    }
}

impl Scripted {
    fn log(&self, line: &str) {
        let path = self.directory.join("log");
        let mut log = OpenOptions::new()
            .append(true)
            .open(path)
            .expect("the test made it");
        writeln!(log, "{line}").expect("the log can be written");
    }
}

fn content(files: &BTreeMap<String, (String, Option<i64>)>) -> Content {
    let file = |(path, (text, mode)): (&String, &(String, Option<i64>))| File {
        path: MountPath::try_from(path.as_str()).expect("the test gives good paths"),
        mode: mode.map(|mode| Mode::try_from(mode).expect("the test gives good modes")),
        bytes: Secret::from(text.as_str()),
    };
    Content::new(files.iter().map(file).collect()).expect("the test gives good files")
}
