//! Where a server listens, and which other hosts a redirect may lead to.
//!
//! An address is checked once, here: what could smuggle a credential (user information), change a request (query,
//! fragment) or read a file (`file://`) is refused, and the text of a refused address is never repeated.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;
use url::{Host, Url};

/// The address of one server: `https://HOST[:PORT][/PREFIX]`, `http://…` or `unix:///PATH`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// For a socket: `http://localhost/`, which is what is spoken over it
    base: Url,
    socket: Option<PathBuf>,
}

/// Why a text is not the address of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It cannot be taken apart as a URL.
    #[error("not an address; write it as https://HOST:PORT")]
    Syntax,
    /// It has no `SCHEME://`.
    #[error("an address without its scheme; write it as https://HOST:PORT")]
    NoScheme,
    /// Its scheme is neither http, https nor unix.
    #[error("an address whose scheme is not http, https or unix")]
    Scheme,
    /// It holds a user name or password.
    #[error("an address with a user name or password in it; remove everything up to the '@'")]
    UserInfo,
    /// It has a query or a fragment.
    #[error("an address with a '?' or '#' in it; end it after the host, port or path")]
    QueryOrFragment,
    /// A socket without an absolute path.
    #[error("a socket address without an absolute path; write it as unix:///PATH")]
    SocketPath,
}

/// A host that a redirect may lead to besides the configured addresses: `HOST`, `HOST:PORT` or `*.DOMAIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedirectHost {
    host: String,
    below: bool,
    port: Option<u16>,
}

/// A text is not a [`RedirectHost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a host; write HOST, HOST:PORT or *.DOMAIN, without a scheme or path")]
pub(crate) struct RedirectHostError;

// === impl Address ===

impl Address {
    /// Whether requests are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Whether requests stay on this machine: a socket, `localhost` or a loopback IP.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.socket.is_some()
            || match self.base.host() {
                Some(Host::Domain(name)) => {
                    let name = name.trim_end_matches('.');
                    name == "localhost" || name.ends_with(".localhost")
                }
                Some(Host::Ipv4(ip)) => ip.is_loopback(),
                Some(Host::Ipv6(ip)) => ip.is_loopback(),
                None => false,
            }
    }

    /// The path of the socket of a `unix://` address.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// What requests are made below; ends with `/`.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The address of the server that `location` leads to.
    pub(crate) fn of_origin(location: &Url) -> Result<Self, AddressError> {
        let mut base = location.clone();
        base.set_query(None);
        base.set_fragment(None);
        base.set_path("/");
        base.as_str().parse()
    }

    pub(crate) fn same_origin(&self, location: &Url) -> bool {
        self.socket.is_none() && self.base.origin() == location.origin()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') || path.contains('\0') {
                return Err(AddressError::SocketPath);
            }
            let base = Url::parse("http://localhost/").map_err(|_syntax| AddressError::Syntax)?;
            return Ok(Self {
                base,
                socket: Some(path.into()),
            });
        }
        if !text.contains("://") {
            return Err(AddressError::NoScheme);
        }
        let mut base = Url::parse(text).map_err(|_syntax| AddressError::Syntax)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(AddressError::Scheme);
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(AddressError::UserInfo);
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(AddressError::QueryOrFragment);
        }
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        Ok(Self { base, socket: None })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => write!(f, "unix://{}", path.display()),
            None => f.write_str(self.base.as_str().trim_end_matches('/')),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl RedirectHost ===

impl RedirectHost {
    pub(crate) fn covers(&self, location: &Url) -> bool {
        let Some(host) = location.host_str() else {
            return false;
        };
        let host = host.trim_end_matches('.');
        let named = if self.below {
            host.strip_suffix(self.host.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        };
        named && (self.port.is_none() || self.port == location.port_or_known_default())
    }
}

impl FromStr for RedirectHost {
    type Err = RedirectHostError;

    fn from_str(text: &str) -> Result<Self, RedirectHostError> {
        let (below, rest) = match text.trim().strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, text.trim()),
        };
        if rest.is_empty() || rest.contains(['/', '@', '?', '#', '*', '\\']) {
            return Err(RedirectHostError);
        }
        // The URL parser lower-cases, encodes and checks a host exactly as it will when the redirect arrives.
        let parsed =
            Url::parse(&format!("https://{rest}/")).map_err(|_syntax| RedirectHostError)?;
        let host = parsed.host_str().ok_or(RedirectHostError)?;
        let written_port = rest
            .rsplit_once(':')
            .filter(|(_, port)| {
                !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit())
            })
            .map(|_| parsed.port_or_known_default());
        Ok(Self {
            host: host.trim_end_matches('.').to_owned(),
            below,
            port: written_port.flatten(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_accepted_is_shown_as_what_it_means(text in "(https?|unix)://[a-z0-9:@/?#%.\\[\\]-]{0,20}|.*") {
            if let Ok(address) = text.parse::<Address>() {
                let shown = address.to_string();
                prop_assert!(address.socket().is_some() || !shown.contains(['@', '?', '#']), "{}", shown);
                prop_assert_eq!(shown.parse::<Address>(), Ok(address));
            }
            let _ = text.parse::<RedirectHost>();
        }
    }

    #[test]
    fn addresses_as_written_and_as_shown() {
        for (written, shown) in [
            ("https://vault:8200", "https://vault:8200"),
            (" https://Vault.EXAMPLE:443/ ", "https://vault.example"),
            (
                "http://127.0.0.1:8200/proxied//",
                "http://127.0.0.1:8200/proxied",
            ),
            ("https://[::1]:8200/a/b", "https://[::1]:8200/a/b"),
            ("unix:///run/agent.sock", "unix:///run/agent.sock"),
        ] {
            assert_eq!(
                written.parse::<Address>().unwrap().to_string(),
                shown,
                "{written}"
            );
        }
    }

    #[test]
    fn refused_addresses() {
        use AddressError::{NoScheme, QueryOrFragment, Scheme, SocketPath, Syntax, UserInfo};
        for (written, expected) in [
            ("", NoScheme),
            ("vault:8200", NoScheme),
            ("file:///etc/passwd", Scheme),
            ("ftp://vault", Scheme),
            ("https://", Syntax),
            ("https://vault:99999", Syntax),
            ("https://hunter2@vault", UserInfo),
            ("https://root:hunter2@vault", UserInfo),
            ("https://vault?token=hunter2", QueryOrFragment),
            ("https://vault/#hunter2", QueryOrFragment),
            ("unix://agent.sock", SocketPath),
        ] {
            let error = written.parse::<Address>().unwrap_err();
            assert_eq!(error, expected, "{written}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn what_stays_on_this_machine() {
        for (address, local) in [
            ("http://localhost:8200", true),
            ("http://vault.localhost", true),
            ("http://127.8.8.8", true),
            ("http://[::1]", true),
            ("unix:///s", true),
            ("http://localhost.example", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(
                address.parse::<Address>().unwrap().is_local(),
                local,
                "{address}"
            );
        }
    }

    #[test]
    fn redirect_hosts() {
        for (pattern, location, covered) in [
            ("vault-0", "https://vault-0:8200/v1/x", true),
            ("Vault-0.", "https://vault-0/v1/x", true),
            ("vault-0:8200", "https://vault-0:8200/", true),
            ("vault-0:8200", "https://vault-0:8201/", false),
            ("vault-0:443", "https://vault-0/", true),
            ("vault-0", "https://vault-0.evil/", false),
            ("*.internal", "https://vault-0.internal:8200/", true),
            ("*.internal", "https://a.b.internal/", true),
            ("*.internal", "https://internal/", false),
            ("*.internal", "https://evilinternal/", false),
            ("[::1]:8200", "https://[::1]:8200/", true),
        ] {
            let pattern: RedirectHost = pattern.parse().unwrap();
            assert_eq!(
                pattern.covers(&Url::parse(location).unwrap()),
                covered,
                "{pattern:?} {location}"
            );
        }
        for bad in [
            "",
            "*",
            "*.",
            "https://vault",
            "vault/v1",
            "a@b",
            "vault:port",
        ] {
            assert!(bad.parse::<RedirectHost>().is_err(), "{bad}");
        }
    }
}
