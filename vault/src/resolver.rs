//! Names to addresses without the C library, so that a static binary in an empty root resolves as a full system does.
//!
//! `/etc/hosts` and `localhost` first, then the name servers, search list and `ndots` of `/etc/resolv.conf`. The files are read
//! when the first name must be resolved; without `/etc/resolv.conf`, only what needs no name server resolves.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::system_conf::parse_resolv_conf;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::sync::OnceCell;

use crate::error::Failure;
use crate::terms::Terms;

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum DnsFailure {
    /// NXDOMAIN
    #[error("there is no host {host} (NXDOMAIN)")]
    NoSuchName {
        /// The name that was asked for
        host: String,
    },
    /// The name exists without an address.
    #[error("host {host} has no IP address")]
    NoAddress {
        /// The name that was asked for
        host: String,
    },
    /// SERVFAIL, REFUSED and the like
    #[error("the name server failed to resolve {host} ({code})")]
    Server {
        /// The name that was asked for
        host: String,
        /// The response code
        code: String,
    },
    /// No name server answered.
    #[error("no name server answered for {host} in time")]
    Timeout {
        /// The name that was asked for
        host: String,
    },
    /// No name server is known.
    #[error("no name server is configured to resolve {host}")]
    NoNameServer {
        /// The name that was asked for
        host: String,
    },
    /// Anything else
    #[error("cannot resolve {host}: {cause}")]
    Other {
        /// The name that was asked for
        host: String,
        /// What the resolver said
        cause: String,
    },
}

/// How long a name may take with all its search domains: less than a connection may, so that the failure says that it was
/// the name.
const PATIENCE: Duration = Duration::from_secs(4);

/// Resolves the names of all addresses of one client.
pub(crate) struct Resolver {
    configuration: PathBuf,
    resolver: OnceCell<TokioResolver>,
}

/// Resolves every name for one connection pool as `host`, when the name in its URL is the one in the certificate.
pub(crate) struct NodeResolver {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) host: Option<String>,
}

// === impl Resolver ===

impl Resolver {
    pub(crate) fn system() -> Self {
        Self::from_file("/etc/resolv.conf".into())
    }

    fn from_file(configuration: PathBuf) -> Self {
        Self {
            configuration,
            resolver: OnceCell::new(),
        }
    }

    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, DnsFailure> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse() {
            return Ok(vec![ip]);
        }
        let other = |cause: NetError| DnsFailure::Other {
            host: host.to_owned(),
            cause: cause.to_string(),
        };
        let resolver = self
            .resolver
            .get_or_try_init(async || build(read(&self.configuration)))
            .await
            .map_err(other)?;
        match tokio::time::timeout(PATIENCE, resolver.lookup_ip(host)).await {
            Ok(Ok(found)) => Ok(found.iter().collect()),
            Ok(Err(cause)) => Err(classify(host, &cause)),
            Err(_elapsed) => Err(DnsFailure::Timeout {
                host: host.to_owned(),
            }),
        }
    }
}

fn build((config, mut options): (ResolverConfig, ResolverOpts)) -> Result<TokioResolver, NetError> {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
}

/// The configuration in `path`, or one without name servers when it is missing or names none.
fn read(path: &Path) -> (ResolverConfig, ResolverOpts) {
    let parsed = std::fs::read(path).map(parse_resolv_conf);
    match parsed {
        Ok(Ok(configuration)) => configuration,
        _ => (
            ResolverConfig::from_parts(None, Vec::new(), Vec::new()),
            ResolverOpts::default(),
        ),
    }
}

fn classify(host: &str, cause: &NetError) -> DnsFailure {
    let host = host.to_owned();
    match cause {
        NetError::Dns(DnsError::NoRecordsFound(records)) => match records.response_code {
            ResponseCode::NXDomain => DnsFailure::NoSuchName { host },
            ResponseCode::NoError => DnsFailure::NoAddress { host },
            code => DnsFailure::Server {
                host,
                code: code.to_str().to_owned(),
            },
        },
        NetError::Dns(DnsError::ResponseCode(code)) => DnsFailure::Server {
            host,
            code: code.to_str().to_owned(),
        },
        NetError::Timeout => DnsFailure::Timeout { host },
        NetError::NoConnections => DnsFailure::NoNameServer { host },
        other => DnsFailure::Other {
            host,
            cause: other.to_string(),
        },
    }
}

// === impl NodeResolver ===

impl Resolve for NodeResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = Arc::clone(&self.resolver);
        let host = self
            .host
            .clone()
            .unwrap_or_else(|| name.as_str().to_owned());
        Box::pin(async move {
            let found = resolver.lookup(&host).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

// === impl DnsFailure ===

impl DnsFailure {
    /// `failure`, which this caused, with the remedy.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        match self {
            Self::NoSuchName { .. } | Self::NoAddress { .. } => failure.with_remedy_in(|Terms { addresses, .. }| {
                format!("check the host in {addresses}; a full name with a dot at its end is not searched for elsewhere")
            }),
            Self::NoNameServer { .. } => failure.with_remedy(
                "add a nameserver to /etc/resolv.conf, the host to /etc/hosts, or use an IP address",
            ),
            Self::Server { .. } | Self::Timeout { .. } | Self::Other { .. } => {
                failure.with_remedy("check the name servers in /etc/resolv.conf")
            }
        }
    }
}

#[cfg(test)]
mod tests {

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
    use tokio::net::UdpSocket;

    use super::*;

    /// A resolver whose only name server answers with this response code, or not at all.
    async fn with_name_server(code: Option<u8>) -> Resolver {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        let server = NameServerConfig::new("127.0.0.1".parse().unwrap(), true, vec![connection]);
        let mut options = ResolverOpts::default();
        // Who gets no answer waits so long; all others have time, but less than a lookup as a whole.
        options.timeout = match code {
            None => Duration::from_millis(200),
            Some(_) => PATIENCE * 3 / 4,
        };
        options.attempts = 1;
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        tokio::spawn(async move {
            let mut message = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut message).await {
                // The question comes back as an answer without records.
                message[2] |= 0x80;
                if let Some(code) = code {
                    message[3] = code;
                    let _sent = socket.send_to(&message[..length], from).await;
                }
            }
        });
        Resolver {
            configuration: PathBuf::new(),
            resolver: OnceCell::new_with(Some(build((config, options)).unwrap())),
        }
    }

    #[tokio::test]
    async fn what_a_name_server_says_is_told_apart() {
        let host = || "vault.example".to_owned();
        for (code, expected) in [
            (Some(3), DnsFailure::NoSuchName { host: host() }),
            (Some(0), DnsFailure::NoAddress { host: host() }),
            (None, DnsFailure::Timeout { host: host() }),
        ] {
            let resolver = with_name_server(code).await;
            assert_eq!(resolver.lookup(&host()).await.unwrap_err(), expected);
        }
        let failed = with_name_server(Some(2))
            .await
            .lookup(&host())
            .await
            .unwrap_err();
        assert!(matches!(failed, DnsFailure::Server { .. }), "{failed:?}");
    }

    #[tokio::test]
    async fn without_name_servers_only_what_needs_none_resolves() {
        let resolver = Resolver::from_file("/nowhere/resolv.conf".into());
        for (host, resolves) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("vault.example", false),
        ] {
            let found = resolver.lookup(host).await;
            assert_eq!(found.is_ok(), resolves, "{host}: {found:?}");
            if let Err(failure) = found {
                assert!(
                    matches!(failure, DnsFailure::NoNameServer { .. }),
                    "{failure:?}"
                );
            }
        }
    }
}
