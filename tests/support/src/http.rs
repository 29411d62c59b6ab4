//! The harness' own requests, which no setting of this process' environment changes.

use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::tls::provider;

/// A client that trusts the authorities in `ca_pem` alone, and gives up on a request after a minute. It keeps `idle` connections
/// for the next requests.
pub(crate) fn agent(ca_pem: Option<&str>, idle: usize) -> Agent {
    let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider());
    if let Some(pem) = ca_pem {
        let ca = Certificate::from_pem(pem.as_bytes()).expect("a certificate");
        tls = tls.root_certs(RootCerts::Specific(Arc::new(vec![ca])));
    }
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .proxy(None::<Proxy>)
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .timeout_global(Some(Duration::from_secs(60)))
        .build();
    config.new_agent()
}
