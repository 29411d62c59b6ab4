//! Settings and identity from an environment that the caller passes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use super::parse::UNPRINTABLE;
use super::table::{Treatment, VARIABLES};
use super::{
    ClientIdentity, Configuration, Pem, Proxy, ProxyAddress, Roots, SettingError, Settings, Tls,
    parse,
};
use crate::Secret;
use crate::address::Address;
use crate::auth::Auth;

/// What the official clients use without any setting.
const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";

/// Makes settings and an identity from the names in [`VARIABLES`].
///
/// `lookup` answers one name; an empty value counts as unset. `BAO_X` is asked before `VAULT_X`, so a caller whose own option
/// stands for `VAULT_X` answers `BAO_X` with nothing.
///
/// # Errors
/// Every problem at once, in no particular order, without any value.
pub fn from_environment(
    lookup: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Configuration, Vec<SettingError>> {
    let mut environment = Environment {
        lookup,
        problems: Vec::new(),
    };
    environment.refuse_unsupported();
    let settings = environment.settings();
    let auth = environment.auth();
    if matches!(auth, Some(Auth::Cert { .. })) && settings.tls.identity.is_none() {
        environment.problem("VAULT_CLIENT_CERT", "is needed for a cert login");
    }
    match auth {
        Some(auth) if environment.problems.is_empty() => Ok(Configuration { settings, auth }),
        _ => Err(environment.problems),
    }
}

pub(super) struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<OsString>,
    problems: Vec<SettingError>,
}

/// One value and the spelling under which it was found.
pub(super) struct Found<T> {
    pub(super) name: String,
    pub(super) value: T,
}

// === impl Environment ===

impl Environment<'_> {
    pub(super) fn problem(&mut self, name: impl Into<String>, text: impl ToString) {
        self.problems.push(SettingError::new(name, text));
    }

    pub(super) fn raw(&self, name: &'static str) -> Option<Found<OsString>> {
        let variable = VARIABLES
            .iter()
            .find(|variable| variable.name == name)
            .expect("only names of the table are looked up");
        variable.spellings().find_map(|name| {
            let value = (self.lookup)(&name).filter(|value| !value.is_empty())?;
            Some(Found { name, value })
        })
    }

    fn text(&mut self, name: &'static str) -> Option<Found<String>> {
        let found = self.raw(name)?;
        match found.value.into_string() {
            Ok(value) => Some(Found {
                name: found.name,
                value,
            }),
            Err(_bytes) => {
                self.problem(found.name, "not valid UTF-8");
                None
            }
        }
    }

    pub(super) fn path(&self, name: &'static str) -> Option<PathBuf> {
        self.raw(name).map(|found| found.value.into())
    }

    fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.text(name)?;
        match parse(&found.value) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problem(found.name, problem);
                None
            }
        }
    }

    fn list<T: FromStr>(&mut self, name: &'static str) -> Vec<T>
    where
        T::Err: ToString,
    {
        self.parsed(name, |text| {
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| item.parse().map_err(|error: T::Err| error.to_string()))
                .collect()
        })
        .unwrap_or_default()
    }

    pub(super) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        self.parsed(name, |text| {
            parse::boolean(text).ok_or_else(|| "not a boolean; use true or false".to_owned())
        })
    }

    /// A word that becomes part of a request: no blanks, nothing unprintable.
    pub(super) fn word(&mut self, name: &'static str) -> Option<String> {
        self.parsed(name, |text| {
            let trimmed = text.trim();
            (!trimmed.is_empty() && !trimmed.chars().any(char::is_control))
                .then(|| trimmed.to_owned())
                .ok_or_else(|| UNPRINTABLE.to_owned())
        })
    }

    pub(super) fn credential(&mut self, name: &'static str) -> Option<Secret> {
        let found = self.raw(name)?;
        let value = Secret::new(found.value.into_vec());
        let credential = parse::printable(value.expose());
        if credential.is_none() {
            self.problem(found.name, UNPRINTABLE);
        }
        credential
    }

    fn refuse_unsupported(&mut self) {
        for variable in VARIABLES {
            if variable.treatment != Treatment::Refused {
                continue;
            }
            let Some(found) = self.raw(variable.name) else {
                continue;
            };
            let off = variable.name == "VAULT_SRV_LOOKUP"
                && found.value.to_str().and_then(parse::boolean) == Some(false);
            if !off {
                self.problem(found.name, format_args!("not supported: {}", variable.help));
            }
        }
    }

    fn settings(&mut self) -> Settings {
        let addresses = self.addresses();
        let proxy = self.proxy();
        let tls = self.tls();
        if tls.server_name.is_some() && (proxy.always.is_some() || proxy.https.is_some()) {
            self.problem(
                "VAULT_TLS_SERVER_NAME",
                "cannot be used together with a proxy; set one of them",
            );
        }
        Settings {
            namespace: self
                .word("VAULT_NAMESPACE")
                .map(|name| name.trim_matches('/').to_owned())
                .filter(|name| !name.is_empty()),
            tls,
            proxy,
            follow_redirects: !self.boolean("VAULT_DISABLE_REDIRECTS").unwrap_or(false),
            request_timeout: self
                .parsed("VAULT_CLIENT_TIMEOUT", |text| {
                    parse::duration(text)
                        .filter(|time| *time > Duration::ZERO)
                        .ok_or_else(|| "not a positive duration; write it with a unit, such as 30s, 1m30s or 500ms".to_owned())
                })
                .unwrap_or(super::REQUEST_TIMEOUT),
            max_retries: self.parsed("VAULT_MAX_RETRIES", |text| {
                text.parse().map_err(|_not_a_number| "not a whole number".to_owned())
            }),
            ..Settings::new(addresses)
        }
    }

    fn addresses(&mut self) -> Vec<Address> {
        let name = ["VAULT_AGENT_ADDR", "VAULT_ADDR"]
            .into_iter()
            .find(|name| self.raw(name).is_some());
        let Some(name) = name else {
            return vec![DEFAULT_ADDRESS.parse().expect("the default address is one")];
        };
        let before = self.problems.len();
        let addresses = self.list(name);
        if addresses.is_empty() && self.problems.len() == before {
            self.problem(name, "no address given; set it to https://HOST:PORT");
        }
        addresses
    }

    fn proxy(&mut self) -> Proxy {
        Proxy {
            always: self
                .proxy_address("VAULT_PROXY_ADDR")
                .or_else(|| self.proxy_address("VAULT_HTTP_PROXY")),
            http: self.proxy_address("HTTP_PROXY"),
            https: self.proxy_address("HTTPS_PROXY"),
            except: self.text("NO_PROXY").map(|found| found.value),
        }
    }

    fn proxy_address(&mut self, name: &'static str) -> Option<ProxyAddress> {
        self.parsed(name, |text| {
            let text = text.trim();
            // HOST:PORT without a scheme is customary in HTTP_PROXY.
            let url = if text.contains("://") {
                text.to_owned()
            } else {
                format!("http://{text}")
            };
            Url::parse(&url)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                .map(|_| ProxyAddress(url.into()))
                .ok_or_else(|| {
                    "not the address of an HTTP proxy; write it as http://HOST:PORT".to_owned()
                })
        })
    }

    fn tls(&mut self) -> Tls {
        Tls {
            roots: self.roots(),
            identity: self.identity(),
            server_name: self.word("VAULT_TLS_SERVER_NAME"),
            verify: !self.boolean("VAULT_SKIP_VERIFY").unwrap_or(false),
        }
    }

    fn roots(&self) -> Roots {
        if let Some(found) = self.raw("VAULT_CACERT_BYTES") {
            return Roots::Bytes(found.value.into_vec());
        }
        if let Some(file) = self.path("VAULT_CACERT") {
            return Roots::File(file);
        }
        if let Some(directory) = self.path("VAULT_CAPATH") {
            return Roots::Directory(directory);
        }
        let file = self.path("SSL_CERT_FILE");
        let directories: Vec<PathBuf> = self
            .raw("SSL_CERT_DIR")
            .map(|found| {
                std::env::split_paths(&found.value)
                    .filter(|path| !path.as_os_str().is_empty())
                    .collect()
            })
            .unwrap_or_default();
        if file.is_none() && directories.is_empty() {
            Roots::System
        } else {
            Roots::Named { file, directories }
        }
    }

    fn identity(&mut self) -> Option<ClientIdentity> {
        let certificate = self.pem("VAULT_CLIENT_CERT_BYTES", "VAULT_CLIENT_CERT");
        let key = self.pem("VAULT_CLIENT_KEY_BYTES", "VAULT_CLIENT_KEY");
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key }),
            (Some(_), None) => {
                self.problem("VAULT_CLIENT_KEY", "is needed with VAULT_CLIENT_CERT");
                None
            }
            (None, Some(_)) => {
                self.problem("VAULT_CLIENT_CERT", "is needed with VAULT_CLIENT_KEY");
                None
            }
            (None, None) => None,
        }
    }

    fn pem(&self, bytes: &'static str, file: &'static str) -> Option<Pem> {
        match self.raw(bytes) {
            Some(found) => Some(Pem::Bytes(Secret::new(found.value.into_vec()))),
            None => self.path(file).map(Pem::File),
        }
    }
}
