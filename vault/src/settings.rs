//! Everything that says how a server is reached and as whom, as checked types.
//!
//! [`from_environment`] makes them from `VAULT_*` and `BAO_*` names; a service builds them itself. Nothing here reads the
//! process's environment, and only [`Client::new`](crate::Client::new) reads files.

mod environment;
mod identity;
mod parse;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::Secret;
use crate::address::Address;
use crate::auth::Auth;
use crate::report::{self, Report};

pub use environment::from_environment;
pub use parse::duration;
pub(crate) use parse::{UNPRINTABLE, printable};
pub use table::{Treatment, VARIABLES, Variable};

/// How long one request may take when nothing is configured. Several fit into the usual budget of a minute, so a server that
/// accepts a connection and then says nothing is asked again.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// What one environment says: the server, and who to be there.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// How the server is reached
    pub settings: Settings,
    /// The identity; kubernetes with its usual defaults when nothing names another
    pub auth: Auth,
}

/// How servers are reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Equivalent servers in the order of preference; at least one
    pub addresses: Vec<Address>,
    /// The namespace (`X-Vault-Namespace`) of every request
    pub namespace: Option<String>,
    /// Whom to trust and what to present over TLS
    pub tls: Tls,
    /// Through what connections are made
    pub proxy: Proxy,
    /// Whether redirects are followed at all; default true
    pub follow_redirects: bool,
    /// Hosts that may be redirected to besides `addresses`: `HOST`, `HOST:PORT` or `*.DOMAIN`
    pub redirect_hosts: Vec<String>,
    /// The longest that one request may take that can be repeated; default [`REQUEST_TIMEOUT`]
    pub request_timeout: Duration,
    /// How often an operation may be repeated; without it, as often as its deadline permits
    pub max_retries: Option<u32>,
    /// Where messages go; default nowhere
    pub report: Report,
}

/// Whom to trust and what to present over TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate authorities
    pub roots: Roots,
    /// The certificate of this client
    pub identity: Option<ClientIdentity>,
    /// The name to send and to verify instead of the address's host
    pub server_name: Option<String>,
    /// Whether the server's certificate is verified; default true
    pub verify: bool,
}

/// The certificate authorities that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// These, as PEM, and no others
    Bytes(Vec<u8>),
    /// Those in this PEM file and no others
    File(PathBuf),
    /// Those in the PEM files of this directory and no others
    Directory(PathBuf),
    /// The system's, from places that its administrator named (`SSL_CERT_FILE`, `SSL_CERT_DIR`)
    Named {
        /// A PEM file
        file: Option<PathBuf>,
        /// Directories of PEM files
        directories: Vec<PathBuf>,
    },
    /// The system's, where distributions put them
    System,
}

/// The certificate of this client with its key.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// The certificate and its intermediates, as PEM
    pub certificate: Pem,
    /// The private key, as PEM
    pub key: Pem,
}

/// A PEM document and where it is.
#[derive(Clone, Debug)]
pub enum Pem {
    /// The document itself
    Bytes(Secret),
    /// A file
    File(PathBuf),
}

/// Through what connections are made. Sockets are never proxied.
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    /// For every address (`VAULT_PROXY_ADDR`); the rest is then unused
    pub always: Option<ProxyAddress>,
    /// For `http://` addresses that are not on this machine (`HTTP_PROXY`)
    pub http: Option<ProxyAddress>,
    /// For `https://` addresses that are not on this machine (`HTTPS_PROXY`)
    pub https: Option<ProxyAddress>,
    /// Hosts for which `http` and `https` are not used (`NO_PROXY`)
    pub except: Option<String>,
}

/// The URL of a proxy. A secret, because it may hold a password.
#[derive(Clone, Debug)]
pub struct ProxyAddress(pub(crate) Secret);

/// A setting that cannot be used: which, and why. Never its value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name}: {text}")]
pub struct SettingError {
    /// The environment name of the setting, as it was spelled
    pub name: String,
    /// The cause and the remedy
    pub text: String,
}

// === impl Settings ===

impl Settings {
    /// Everything at its default, for these servers.
    #[must_use]
    pub fn new(addresses: Vec<Address>) -> Self {
        Self {
            addresses,
            namespace: None,
            tls: Tls::default(),
            proxy: Proxy::default(),
            follow_redirects: true,
            redirect_hosts: Vec::new(),
            request_timeout: REQUEST_TIMEOUT,
            max_retries: None,
            report: report::silent,
        }
    }
}

// === impl Proxy ===

impl Proxy {
    /// Whether a proxy is itself reached over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        [&self.always, &self.http, &self.https]
            .into_iter()
            .flatten()
            .any(|ProxyAddress(url)| url.expose().starts_with(b"https:"))
    }
}

// === impl Tls ===

impl Default for Tls {
    fn default() -> Self {
        Self {
            roots: Roots::System,
            identity: None,
            server_name: None,
            verify: true,
        }
    }
}

// === impl SettingError ===

impl SettingError {
    pub(crate) fn new(name: impl Into<String>, text: impl ToString) -> Self {
        Self {
            name: name.into(),
            text: text.to_string(),
        }
    }
}
