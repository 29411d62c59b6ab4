//! One server and the connections to it.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{NoProxy, Proxy as HttpProxy, Url};
use rustls::ClientConfig;

use super::{Answer, body};
use crate::address::Address;
use crate::call::{Call, Method};
use crate::error::{Class, Failure, TlsCause};
use crate::report::{Report, Severity};
use crate::resolver::{DnsFailure, NodeResolver, Resolver};
use crate::settings::{Proxy, ProxyAddress, SettingError, Settings};
use crate::tls;

/// Connections to one server that are kept while idle.
const MAX_IDLE: usize = 8;
/// The longest that making a connection may take, so that a silent host is not waited for as long as a slow answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One server and the connections to it.
pub(super) struct Node {
    address: Address,
    http: reqwest::Client,
    /// The `Host` of requests, when the URL holds the name in the certificate instead
    host: Option<HeaderValue>,
    server_name: Option<String>,
    /// Whether a request was answered; until then requests go one by one, because which protocol a TLS server speaks is
    /// unknown, and each request would open a connection of its own.
    answered: AtomicBool,
    first: tokio::sync::Mutex<()>,
    report: Report,
    /// Whether the server asked for a client certificate
    certificate_wanted: Arc<AtomicBool>,
}

/// Makes nodes.
pub(super) struct Factory {
    tls: ClientConfig,
    has_tls: bool,
    server_name: Option<String>,
    proxy: Proxy,
    resolver: Arc<Resolver>,
    request_timeout: Duration,
    report: Report,
}

// === impl Factory ===

impl Factory {
    pub(super) fn new(
        settings: &Settings,
        resolver: Arc<Resolver>,
    ) -> Result<Self, Vec<SettingError>> {
        let proxied = settings.proxy.always.is_some() || settings.proxy.https.is_some();
        if settings.tls.server_name.is_some() && proxied {
            return Err(vec![SettingError::new(
                "VAULT_TLS_SERVER_NAME",
                "cannot be used together with a proxy; unset one of them",
            )]);
        }
        let has_tls = !settings.redirect_hosts.is_empty()
            || settings.addresses.iter().any(Address::is_tls)
            || settings.proxy.is_tls();
        Ok(Self {
            tls: if has_tls {
                tls::client_config(&settings.tls)?
            } else {
                tls::no_connections()
            },
            has_tls,
            server_name: settings.tls.server_name.clone(),
            proxy: settings.proxy.clone(),
            resolver,
            request_timeout: settings.request_timeout,
            report: settings.report,
        })
    }

    /// Whether certificate authorities were loaded.
    pub(super) fn has_tls(&self) -> bool {
        self.has_tls
    }

    pub(super) fn node(&self, address: Address) -> Result<Arc<Node>, SettingError> {
        let server_name = self.server_name.clone().filter(|_| address.is_tls());
        let mut config = self.tls.clone();
        let certificate_wanted = tls::observe_certificate_requests(&mut config);
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT.min(self.request_timeout))
            .pool_max_idle_per_host(MAX_IDLE)
            .tcp_nodelay(true)
            .tls_backend_preconfigured(config)
            .dns_resolver(NodeResolver {
                resolver: Arc::clone(&self.resolver),
                host: server_name
                    .as_ref()
                    .and(address.base().host_str().map(str::to_owned)),
            });
        if let Some(path) = address.socket() {
            builder = builder.unix_socket(path.to_owned());
        } else if let Some(proxy) = self.proxy_for(&address)? {
            builder = builder.proxy(proxy);
        }
        let http = builder
            .build()
            .map_err(|_builder| SettingError::new("VAULT_ADDR", "no client can be made for it"))?;
        let host = server_name.as_ref().and(authority(address.base()));
        Ok(Arc::new(Node {
            answered: AtomicBool::new(!address.is_tls()),
            address,
            http,
            host,
            server_name,
            first: tokio::sync::Mutex::new(()),
            report: self.report,
            certificate_wanted,
        }))
    }

    fn proxy_for(&self, address: &Address) -> Result<Option<HttpProxy>, SettingError> {
        let except = self.proxy.except.as_deref();
        let (name, proxy, except) = match (&self.proxy.always, address.is_tls()) {
            (Some(always), _) => ("VAULT_PROXY_ADDR", Some(always), None),
            (None, _) if address.is_local() => return Ok(None),
            (None, true) => ("HTTPS_PROXY", self.proxy.https.as_ref(), except),
            (None, false) => ("HTTP_PROXY", self.proxy.http.as_ref(), except),
        };
        let make = |ProxyAddress(url): &ProxyAddress| {
            HttpProxy::all(url.expose_str().unwrap_or_default())
                .map(|proxy| proxy.no_proxy(except.and_then(NoProxy::from_string)))
                .map_err(|_proxy| SettingError::new(name, "not the address of an HTTP proxy"))
        };
        proxy.map(make).transpose()
    }
}

fn authority(url: &Url) -> Option<HeaderValue> {
    let host = url.host_str()?;
    let authority = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    HeaderValue::from_str(&authority).ok()
}

// === impl Node ===

impl Node {
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    pub(super) fn url(&self, call: &Call) -> Url {
        let mut url = self.address.base().clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push("v1").extend(call.path.split('/'));
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        self.named(url)
    }

    /// `url` with the name in the certificate as its host.
    pub(super) fn named(&self, mut url: Url) -> Url {
        if let Some(name) = &self.server_name {
            // A name that no URL can hold was refused with the settings.
            let _unchanged = url.set_host(Some(name));
        }
        url
    }

    pub(super) async fn send(
        &self,
        url: &Url,
        call: &Call,
        headers: &HeaderMap,
    ) -> Result<reqwest::Response, Failure> {
        let _alone = match self.answered.load(Ordering::Acquire) {
            true => None,
            false => Some(self.first.lock().await),
        };
        let method = match call.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut request = self
            .http
            .request(method, url.clone())
            .headers(headers.clone());
        if let Some(host) = &self.host {
            request = request.header(HOST, host.clone());
        }
        if !call.body.is_empty() {
            request = request.body(call.body.expose().to_vec());
        }
        let started = Instant::now();
        let response = request.send().await;
        let status = response
            .as_ref()
            .map_or("no answer".to_owned(), |response| {
                response.status().to_string()
            });
        let (method, path, milliseconds) =
            (&call.method, &call.path, started.elapsed().as_millis());
        let message = format_args!(
            "{}: {method:?} {path}: {status} after {milliseconds} ms",
            self.address
        );
        (self.report)(Severity::Debug, message);
        let response = response.map_err(|error| self.failure(&error))?;
        self.answered.store(true, Ordering::Release);
        Ok(response)
    }

    fn failure(&self, error: &reqwest::Error) -> Failure {
        if !self.address.is_tls() {
            return unreachable_of(error);
        }
        if let Some(failure) = tls::failure_of(error, error.is_connect()) {
            return failure;
        }
        let failure = unreachable_of(error);
        // With TLS 1.3 the server refuses a certificate after the handshake, and the alert that says so often gets lost.
        let refused = self.certificate_wanted.load(Ordering::Relaxed)
            && !self.answered.load(Ordering::Acquire)
            && failure.cause == CUT;
        if refused {
            return Failure {
                class: Class::Tls(TlsCause::ClientCertificate),
                cause: "the connection was cut after the server had asked for a client certificate"
                    .to_owned(),
                ..failure
            };
        }
        failure
    }
}

/// The whole reply.
pub(super) async fn answer(response: reqwest::Response) -> Result<Answer, Failure> {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    Ok(Answer {
        status,
        retry_after,
        body: body::read(response).await?,
    })
}

/// What the chain of causes says about why no answer came.
fn unreachable_of(error: &reqwest::Error) -> Failure {
    let executed = !error.is_connect();
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(failure) = cause.downcast_ref::<DnsFailure>() {
            return failure.explain(Failure::unreachable(failure.to_string(), executed));
        }
        if let Some(text) = cause.downcast_ref::<io::Error>().and_then(text_of_io) {
            return Failure::unreachable(text, executed);
        }
        if cause.to_string().starts_with("tunnel error") {
            return Failure::unreachable("the proxy made no connection to it", executed)
                .with_remedy("check the proxy, or name the host in NO_PROXY");
        }
        next = cause.source();
    }
    let text = match (error.is_timeout(), executed) {
        (true, false) => "no connection in time",
        (true, true) => "no reply in time",
        (false, _) => CUT,
    };
    Failure::unreachable(text, executed)
}

const CUT: &str = "the connection was cut before the reply";

fn text_of_io(io: &io::Error) -> Option<String> {
    match io.kind() {
        io::ErrorKind::ConnectionRefused => Some("connection refused".to_owned()),
        io::ErrorKind::TimedOut => None,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(CUT.to_owned()),
        // An error of the system, such as a missing socket or an unreachable network; others are wrappers.
        kind => io.raw_os_error().map(|_| kind.to_string()),
    }
}
