//! Settings under the names that manifests for vault-env, secret-init and Deckhouse's env-injector use, with the same
//! meaning. Names that lead to the server (`VAULT_ADDR`, `VAULT_ROLE`, …) are read where the server is configured.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use envlatch_reference::BulkPath;

use super::Wait;
use super::given::{boolean, understood};
use crate::environment::Environment;
use crate::logging::{self, Format, Level};
#[cfg(not(feature = "stay"))]
use crate::problem::Exit;
use crate::problem::Problems;

/// What those names ask for.
#[derive(Default)]
pub(crate) struct Peers {
    /// Paths of which all keys are taken; they win over references, as Deckhouse documents
    pub(crate) from: Vec<BulkPath>,
    pub(crate) ignore_missing: bool,
    pub(crate) pass: Vec<String>,
    pub(crate) file_root: Option<PathBuf>,
    /// Wait before anything else
    pub(crate) delay: Duration,
    /// Whether the token is revoked after a start; unset is our own rule
    pub(crate) revoke_token: Option<bool>,
    pub(crate) transit: Option<Transit>,
    /// Whether to stay until something expires or, when true, also until a value changes
    #[cfg(feature = "stay")]
    pub(crate) daemon: Option<bool>,
    /// How often values are compared
    #[cfg(feature = "stay")]
    pub(crate) poll: Option<Duration>,
}

/// How transit ciphertexts in values are decrypted.
#[derive(Clone)]
pub(crate) struct Transit {
    pub(crate) key: String,
    pub(crate) mount: String,
    /// Ciphertexts in one request
    pub(crate) batch_size: usize,
}

const DEFAULT_BATCH_SIZE: usize = 25;

// === impl Peers ===

impl Peers {
    pub(super) fn new(environment: &Environment) -> Result<Self, Problems> {
        let mut names = Names {
            environment,
            problems: Problems::default(),
        };
        let from = ["VAULT_ENV_FROM_PATH", "VAULT_FROM_PATH", "BAO_FROM_PATH"];
        let pass = [
            "VAULT_ENV_PASSTHROUGH",
            "VAULT_PASSTHROUGH",
            "BAO_PASSTHROUGH",
        ];
        let peers = Self {
            from: names
                .each(&from, BulkPath::parse_list)
                .into_iter()
                .flatten()
                .collect(),
            ignore_missing: names
                .each(
                    &["VAULT_IGNORE_MISSING_SECRETS", "BAO_IGNORE_MISSING_SECRETS"],
                    boolean,
                )
                .contains(&true),
            pass: names
                .each(&pass, comma_list)
                .into_iter()
                .flatten()
                .collect(),
            file_root: environment
                .get("FILE_MOUNT_PATH")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            delay: names
                .first(
                    &["VAULT_ENV_DELAY", "SECRET_INIT_DELAY"],
                    str::parse::<Wait>,
                )
                .map_or(Duration::ZERO, |wait| wait.0),
            revoke_token: names.first(&["BAO_REVOKE_TOKEN", "VAULT_REVOKE_TOKEN"], boolean),
            transit: names.transit(),
            #[cfg(feature = "stay")]
            daemon: names.daemon(),
            #[cfg(feature = "stay")]
            poll: names
                .first(
                    &["VAULT_ENV_SECRET_POLL_INTERVAL"],
                    str::parse::<super::staying::Interval>,
                )
                .map(|interval| interval.0),
        };
        #[cfg(not(feature = "stay"))]
        names.refuse_staying();
        names.warn_of_log_servers();
        names.problems.or_ok(peers)
    }
}

/// Log level and format of the peers' names.
pub(super) fn output(
    environment: &Environment,
    problems: &mut Problems,
) -> (Option<Level>, Option<Format>) {
    let mut names = Names {
        environment,
        problems: Problems::default(),
    };
    let level = names.first(&["VAULT_LOG_LEVEL", "SECRET_INIT_LOG_LEVEL"], peer_level);
    let json = names.first(&["VAULT_JSON_LOG", "SECRET_INIT_JSON_LOG"], boolean);
    problems.extend(names.problems);
    (
        level,
        json.map(|json| if json { Format::Json } else { Format::Text }),
    )
}

/// Go's slog and logrus have more words for "error".
fn peer_level(text: &str) -> Result<Level, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "fatal" | "panic" => Ok(Level::Error),
        "warning" => Ok(Level::Warn),
        // Their default, at which they report each start; ours reports what needs attention.
        "" | "info" => Ok(Level::Warn),
        other => other.parse(),
    }
}

fn comma_list(text: &str) -> Result<Vec<String>, &'static str> {
    Ok(text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

struct Names<'a> {
    environment: &'a Environment,
    problems: Problems,
}

// === impl Names ===

impl Names<'_> {
    /// Each of `names` that has a value, parsed.
    fn each<T, E: std::fmt::Display>(
        &mut self,
        names: &[&str],
        parse: fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let given = |name: &&&str| {
            self.environment
                .get(name)
                .is_some_and(|value| !value.is_empty())
        };
        let given: Vec<(&str, OsString)> = names
            .iter()
            .filter(given)
            .map(|name| {
                (
                    *name,
                    self.environment.get(name).unwrap_or_default().to_owned(),
                )
            })
            .collect();
        given
            .into_iter()
            .filter_map(|(name, value)| understood(&value, name, parse, &mut self.problems))
            .collect()
    }

    fn first<T, E: std::fmt::Display>(
        &mut self,
        names: &[&str],
        parse: fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.each(names, parse).into_iter().next()
    }

    fn transit(&mut self) -> Option<Transit> {
        let text = |text: &str| Ok::<_, &str>(text.to_owned());
        let key = self.first(&["VAULT_TRANSIT_KEY_ID"], text)?;
        let mount = self
            .first(&["VAULT_TRANSIT_PATH"], text)
            .unwrap_or_else(|| "transit".to_owned());
        // 0 is what an unset size was to vault-env, and divided by.
        let size = self
            .first(&["VAULT_TRANSIT_BATCH_SIZE"], str::parse::<usize>)
            .filter(|size| *size > 0);
        Some(Transit {
            key,
            mount,
            batch_size: size.unwrap_or(DEFAULT_BATCH_SIZE),
        })
    }

    /// Whether a manifest asks to stay; whether for values too.
    #[cfg(feature = "stay")]
    fn daemon(&mut self) -> Option<bool> {
        let daemons = self.each(&["VAULT_ENV_DAEMON", "SECRET_INIT_DAEMON"], boolean);
        let restart = self.first(
            &["VAULT_ENV_RESTART_ON_SECRET_CHANGE"],
            super::staying::restart_on_secret_change,
        );
        restart
            .flatten()
            .or(daemons.contains(&true).then_some(false))
    }

    /// Starting a program that was promised renewal or restarts, and not giving them, would fail days later.
    #[cfg(not(feature = "stay"))]
    fn refuse_staying(&mut self) {
        let asks = |name: &&&str| {
            self.environment.get(name).is_some_and(|value| {
                let value = value.to_str().unwrap_or("?");
                !matches!(value, "" | "none") && boolean(value) != Ok(false)
            })
        };
        let names = [
            "ENVLATCH_ON_CHANGE",
            "VAULT_ENV_DAEMON",
            "SECRET_INIT_DAEMON",
            "VAULT_ENV_RESTART_ON_SECRET_CHANGE",
        ];
        for name in names.iter().filter(asks) {
            let text = "asks to stay beside the program, but this envlatch was built without that; use the full build";
            self.problems.add(Exit::Config, format!("{name}: {text}"));
        }
    }

    fn warn_of_log_servers(&self) {
        for name in ["VAULT_ENV_LOG_SERVER", "SECRET_INIT_LOG_SERVER"] {
            if self.environment.get(name).is_some() {
                logging::warn(format_args!(
                    "{name} is ignored: messages go to stderr only"
                ));
            }
        }
    }
}
