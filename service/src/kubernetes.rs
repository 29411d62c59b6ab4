//! A client of the Kubernetes API server with the one identity that a service has: the token of its service account.
//!
//! Kubeconfig files are not read. They can name programs to run and secrets to send, which no service of ours should do because a
//! file says so, and what understands them is a tenth of the binary.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use clap::Args;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::Body;
use kube::client::middleware::BaseUriLayer;
use kube::client::retry::RetryPolicy;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tower::retry::RetryLayer;
use tower::{BoxError, ServiceBuilder};

/// How long connecting may take, with the TLS handshake.
const CONNECT: Duration = Duration::from_secs(30);
/// How long the API server may not take a byte; client-go gives whole requests this long.
const WRITE: Duration = Duration::from_secs(295);
/// How old the token may be. Kubelet replaces the file when a fifth of the token's time is left, at least two minutes.
const REREAD: Duration = Duration::from_secs(60);

/// How the API server is reached. In a pod nothing has to be given.
#[derive(Args, Clone, Debug)]
pub struct KubernetesSettings {
    /// Address of the API server, such as https://10.0.0.1:6443; in a pod found by itself
    #[arg(long, env = "ENVLATCH_KUBERNETES_ADDRESS", value_parser = address)]
    pub kubernetes_address: Option<Uri>,

    /// PEM file of the certificates that the API server's is checked against
    #[arg(
        long,
        env = "ENVLATCH_KUBERNETES_CA_FILE",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    )]
    pub kubernetes_ca_file: PathBuf,

    /// File of the token of the service account; read again every minute
    #[arg(
        long,
        env = "ENVLATCH_KUBERNETES_TOKEN_FILE",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    )]
    pub kubernetes_token_file: PathBuf,

    /// Where kubelet says the API server is (Kubernetes, "Accessing the Kubernetes API from a Pod")
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", hide = true)]
    pub kubernetes_service_host: Option<String>,

    /// Its port
    #[arg(
        long,
        env = "KUBERNETES_SERVICE_PORT",
        hide = true,
        default_value_t = 443
    )]
    pub kubernetes_service_port: u16,
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum KubernetesError {
    /// Neither a pod nor a flag
    #[error(
        "cannot find the API server: KUBERNETES_SERVICE_HOST is not set, so this is no pod; set --kubernetes-address"
    )]
    Address,
    /// A file is missing or not ours
    #[error("cannot read {}: {cause}; mount the service account's token, or set {flag}", path.display())]
    Read {
        /// The flag that names another.
        flag: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file has something else
    #[error("{} has no {what}; set {flag}", path.display())]
    Content {
        /// What it should have.
        what: &'static str,
        /// The flag that names another.
        flag: &'static str,
        /// Which file.
        path: PathBuf,
    },
}

/// The token and its file.
struct Token {
    path: PathBuf,
    header: HeaderValue,
    read: Instant,
}

// === impl KubernetesSettings ===

impl KubernetesSettings {
    /// What the flags say, where no pod says anything.
    #[must_use]
    pub fn new(address: Option<Uri>, ca_file: PathBuf, token_file: PathBuf) -> Self {
        Self {
            kubernetes_address: address,
            kubernetes_ca_file: ca_file,
            kubernetes_token_file: token_file,
            kubernetes_service_host: None,
            kubernetes_service_port: 443,
        }
    }

    /// A client that gives up an answer of which no byte came for `read_timeout`; watches are silent for minutes, so theirs has none.
    ///
    /// # Errors
    /// This is no pod and no flag says where the server is, or a file cannot be used.
    pub fn client(&self, read_timeout: Option<Duration>) -> Result<Client, KubernetesError> {
        let address = self.kubernetes_address.clone();
        let address = address
            .or_else(|| self.in_cluster())
            .ok_or(KubernetesError::Address)?;
        let token = Arc::new(Mutex::new(Token::read(&self.kubernetes_token_file)?));
        let mut connector = TimeoutConnector::new(connector(&self.kubernetes_ca_file)?);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_write_timeout(Some(WRITE));
        connector.set_read_timeout(read_timeout);
        let service = ServiceBuilder::new()
            .layer(BaseUriLayer::new(address))
            .layer(RetryLayer::new(RetryPolicy::server_retry()))
            .filter(move |mut request: Request<Body>| {
                let mut token = token.lock().unwrap_or_else(PoisonError::into_inner);
                request
                    .headers_mut()
                    .insert(AUTHORIZATION, token.current().clone());
                Ok::<_, BoxError>(request)
            })
            .service(legacy::Client::builder(TokioExecutor::new()).build(connector));
        // Every request of ours says its namespace.
        Ok(Client::new(service, "default"))
    }

    fn in_cluster(&self) -> Option<Uri> {
        let (host, port) = (
            self.kubernetes_service_host.as_ref()?,
            self.kubernetes_service_port,
        );
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        format!("https://{host}:{port}").parse().ok()
    }
}

// === impl Token ===

impl Token {
    fn read(path: &Path) -> Result<Self, KubernetesError> {
        const FLAG: &str = "--kubernetes-token-file";
        let text = fs::read_to_string(path).map_err(failed(FLAG, path))?;
        Ok(Self {
            path: path.to_owned(),
            header: bearer(&text).ok_or_else(|| lacking("token", FLAG, path))?,
            read: Instant::now(),
        })
    }

    /// The token of now. One that cannot be read stays as it was: the server says when it takes it no more.
    fn current(&mut self) -> &HeaderValue {
        if self.read.elapsed() >= REREAD {
            self.read = Instant::now();
            match Self::read(&self.path) {
                Ok(token) => self.header = token.header,
                Err(error) => tracing::warn!("{error}; the token of before is used"),
            }
        }
        &self.header
    }
}

/// Only over TLS, or to this machine: a token goes with every request.
fn address(text: &str) -> Result<Uri, &'static str> {
    const WRONG: &str =
        "an address such as https://10.0.0.1:6443, with http:// only of this machine";
    let safe = |uri: &Uri| match uri.scheme_str() {
        Some("https") => true,
        Some("http") => matches!(uri.host(), Some("127.0.0.1" | "[::1]" | "localhost")),
        _ => false,
    };
    text.parse().ok().filter(safe).ok_or(WRONG)
}

fn connector(authorities: &Path) -> Result<HttpsConnector<HttpConnector>, KubernetesError> {
    const FLAG: &str = "--kubernetes-ca-file";
    let pem = fs::read(authorities).map_err(failed(FLAG, authorities))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    if roots.is_empty() {
        return Err(lacking("certificate", FLAG, authorities));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector))
}

fn bearer(text: &str) -> Option<HeaderValue> {
    let token = text.trim_end();
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    (!token.is_empty()).then_some(header)
}

fn failed(flag: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KubernetesError {
    move |cause| KubernetesError::Read {
        flag,
        path: path.to_owned(),
        cause,
    }
}

fn lacking(what: &'static str, flag: &'static str, path: &Path) -> KubernetesError {
    KubernetesError::Content {
        what,
        flag,
        path: path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(address: Option<&str>, ca: &Path, token: &Path) -> KubernetesSettings {
        let address = address.map(|address| address.parse().unwrap());
        KubernetesSettings::new(address, ca.to_owned(), token.to_owned())
    }

    #[test]
    fn a_pod_knows_where_the_server_is() {
        let mut settings = settings(None, Path::new("/ca"), Path::new("/token"));
        let text = settings.client(None).err().unwrap().to_string();
        assert!(text.contains("set --kubernetes-address"), "{text}");
        for (host, address) in [
            ("10.0.0.1", "https://10.0.0.1:443/"),
            ("fd00::1", "https://[fd00::1]:443/"),
        ] {
            settings.kubernetes_service_host = Some(host.to_owned());
            assert_eq!(settings.in_cluster().unwrap(), address);
        }
    }

    #[test]
    fn tokens_go_over_tls_or_stay_here() {
        for right in [
            "https://10.0.0.1:6443",
            "https://[fd00::1]",
            "http://127.0.0.1:8001",
            "http://[::1]:1",
        ] {
            assert!(address(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "10.0.0.1:6443",
            "/x",
            "http://10.0.0.1",
            "http://127.0.0.1.example.com",
            "ftp://a",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let client = |ca: &Path, token: &Path| {
            let settings = settings(Some("https://127.0.0.1:1"), ca, token);
            settings.client(None).err().unwrap().to_string()
        };
        let (token, empty) = (file("token", "abc\n"), file("empty", "\n"));
        let missing = folder.path().join("missing");
        let named = |path: &Path, text: &str, flag: &str, said: &str| {
            assert!(said.contains(&path.display().to_string()), "{said}");
            assert!(said.contains(text) && said.contains(flag), "{said}");
        };
        let (ca_flag, token_flag) = ("--kubernetes-ca-file", "--kubernetes-token-file");
        named(
            &missing,
            "cannot read",
            token_flag,
            &client(&token, &missing),
        );
        named(&empty, "no token", token_flag, &client(&token, &empty));
        named(&missing, "cannot read", ca_flag, &client(&missing, &token));
        named(&token, "no certificate", ca_flag, &client(&token, &token));
    }

    #[test]
    fn a_token_is_read_again_and_the_last_one_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "one").unwrap();
        let mut token = Token::read(&path).unwrap();
        fs::write(&path, "two").unwrap();
        assert_eq!(token.current(), "Bearer one");
        assert!(token.current().is_sensitive());
        let earlier = |token: &mut Token| token.read = token.read.checked_sub(REREAD).unwrap();
        earlier(&mut token);
        assert_eq!(token.current(), "Bearer two");
        fs::remove_file(&path).unwrap();
        earlier(&mut token);
        assert_eq!(token.current(), "Bearer two");
    }
}
