//! Talking to a Vault-compatible server (HashiCorp Vault, OpenBao, Deckhouse Stronghold): log in, read, write, decrypt.
//!
//! [`from_environment`] turns the official clients' variables into checked [`Settings`] and an [`Auth`]; a [`Client`] holds the
//! connections to the servers, a [`Session`] one identity on them. Every operation has a deadline, inside which it is repeated
//! and moved to another server as the kind of failure allows; what could issue a credential twice is not repeated.
//!
//! Nothing here is process-wide: no default TLS provider, no setting from the process's environment, no global state. The
//! request types are those of vaultrs; the transport is not, for the reasons that `transport.rs` gives.

mod address;
mod auth;
mod call;
mod client;
mod error;
mod kv;
mod mint;
mod reply;
mod report;
mod resolver;
mod session;
mod settings;
mod terms;
mod tls;
mod transit;
mod transport;

pub use address::{Address, AddressError};
pub use auth::{Auth, SecretId, Source};
pub use client::Client;
pub use envlatch_secret::{ParseError, Secret, Value};
pub use error::{Class, Error, TlsCause};
pub use kv::is_addressed_as_version_2;
pub use mint::may_mint;
pub use reply::{Lease, Reply, Term};
pub use report::{Report, Severity};
pub use session::{Held, Request, Session};
pub use settings::{
    ClientIdentity, Configuration, Pem, Proxy, ProxyAddress, REQUEST_TIMEOUT, Roots, SettingError,
    Settings, Tls, Treatment, VARIABLES, Variable, duration, from_environment,
};
pub use terms::Terms;
