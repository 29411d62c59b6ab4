//! Options that lead to the server. Each is another name for a variable of the official clients, so that there is one
//! place where those are understood.

use std::ffi::OsString;

use super::Given;
use crate::problem::Problems;

/// Options, the variable each stands for (after `VAULT_` or `BAO_`), and the variables it puts out of force.
const OPTIONS: &[(&str, &str, &[&str])] = &[
    ("addr", "ADDR", &["AGENT_ADDR", "PROXY_ADDR", "SRV_LOOKUP"]),
    ("namespace", "NAMESPACE", &[]),
    (
        "auth",
        "AUTH_METHOD",
        &["TOKEN", "TOKEN_FILE", "TOKEN_PATH"],
    ),
    ("auth-mount", "PATH", &[]),
    ("role", "ROLE", &[]),
    ("jwt-file", "JWT_FILE", &[]),
    ("token-file", "TOKEN_FILE", &["TOKEN"]),
    ("ca", "CACERT", &["CACERT_BYTES", "CAPATH"]),
];

/// What was given.
#[derive(Default)]
pub(crate) struct ServerOptions {
    given: Vec<(&'static str, OsString, String)>,
    out_of_force: Vec<&'static str>,
    pub(crate) redirect_hosts: Vec<String>,
}

// === impl ServerOptions ===

impl ServerOptions {
    pub(super) fn new(given: &Given<'_>, problems: &mut Problems) -> Self {
        let mut options = Self {
            redirect_hosts: given.texts("redirect-hosts", problems),
            ..Self::default()
        };
        for (option, variable, replaced) in OPTIONS {
            if let Some((value, name)) = given.one(option) {
                // `--auth token` asks for the very variables that other methods must not be confused by.
                if !(*option == "auth" && value == "token") {
                    options.out_of_force.extend(*replaced);
                }
                options.given.push((variable, value, name));
            }
        }
        options
    }

    /// What an option says of the variable `suffix`: a value, nothing on purpose, or no word (`None`).
    pub(crate) fn get(&self, suffix: &str) -> Option<Option<OsString>> {
        let given = self
            .given
            .iter()
            .find(|(variable, ..)| *variable == suffix)
            .map(|(_, value, _)| Some(value.clone()));
        given.or_else(|| self.out_of_force.contains(&suffix).then_some(None))
    }

    /// The name a variable was given under, for messages.
    pub(crate) fn given_as<'a>(&'a self, variable: &'a str) -> &'a str {
        let suffix = variable
            .strip_prefix("VAULT_")
            .or_else(|| variable.strip_prefix("BAO_"))
            .unwrap_or(variable);
        self.given
            .iter()
            .find(|(given, ..)| *given == suffix)
            .map_or(variable, |(.., name)| name)
    }
}
