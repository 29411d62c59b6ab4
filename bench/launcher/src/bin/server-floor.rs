//! The least that server mode takes: the same requests as the launcher's, with its concurrency and protocol.
//!
//! Usage: `envlatch-bench-server-floor CONCURRENCY`, with `VAULT_ADDR`, `VAULT_TOKEN` and, for HTTPS, `VAULT_CACERT`.
//! Each variable `V_…=vault:PATH#KEY` is one request. Plain HTTP takes one keep-alive connection for each request under
//! way, HTTPS a single HTTP/2 connection. Bodies are read and forgotten, then it exits.

use std::cell::RefCell;
use std::env::{args_os, var_os};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

type Body = Empty<Bytes>;

/// What is left to ask for; every worker takes from the end.
type Queue = Rc<RefCell<Vec<Request<Body>>>>;

fn main() -> Result<()> {
    let address = text("VAULT_ADDR")?;
    let concurrency: usize = args_os()
        .nth(1)
        .and_then(|word| word.into_string().ok())
        .and_then(|word| word.parse().ok())
        .context("usage: envlatch-bench-server-floor CONCURRENCY")?;
    let requests = requests(&address)?;
    let workers = concurrency.min(requests.len());
    let queue = Rc::new(RefCell::new(requests));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (scheme, host) = address
        .split_once("://")
        .context("VAULT_ADDR has a scheme")?;
    if scheme == "https" {
        LocalSet::new().block_on(&runtime, https(host, workers, queue))
    } else {
        LocalSet::new().block_on(&runtime, http(host, workers, queue))
    }
}

fn text(name: &str) -> Result<String> {
    var_os(name)
        .and_then(|value| value.into_string().ok())
        .with_context(|| format!("{name} is not set"))
}

fn requests(address: &str) -> Result<Vec<Request<Body>>> {
    let token = text("VAULT_TOKEN")?;
    std::env::vars_os()
        .filter(|(name, _)| name.as_encoded_bytes().starts_with(b"V_"))
        .map(|(_, value)| {
            let value = value.into_string().ok().context("a reference is text")?;
            let path = value
                .strip_prefix("vault:")
                .and_then(|reference| reference.split('#').next());
            Request::get(format!(
                "{address}/v1/{}",
                path.context("a reference begins with vault:")?
            ))
            .header("accept", "application/json")
            .header("x-vault-request", "true")
            .header("x-vault-token", &token)
            .body(Body::new())
            .context("cannot make a request")
        })
        .collect()
}

/// A connection for each worker, and requests on it one after the other.
async fn http(host: &str, workers: usize, queue: Queue) -> Result<()> {
    let workers: Vec<_> = (0..workers)
        .map(|_| {
            let (host, queue) = (host.to_owned(), Rc::clone(&queue));
            tokio::task::spawn_local(async move {
                let stream = TcpStream::connect(&host).await?;
                stream.set_nodelay(true)?;
                let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::task::spawn_local(connection);
                while let Some(mut request) = next(&queue) {
                    let host = host.parse().context("an authority is a header")?;
                    request.headers_mut().insert("host", host);
                    *request.uri_mut() = request.uri().path().parse()?;
                    sender.ready().await?;
                    finish(sender.send_request(request).await?).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

/// One connection, and on it a stream for each worker.
async fn https(host: &str, workers: usize, queue: Queue) -> Result<()> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, _)| name)
        .to_owned();
    let tls = TlsConnector::from(Arc::new(tls(text("VAULT_CACERT")?.as_ref())?));
    let stream = tls.connect(ServerName::try_from(name)?, stream).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    let workers: Vec<_> = (0..workers)
        .map(|_| {
            let (mut sender, queue) = (sender.clone(), Rc::clone(&queue));
            tokio::task::spawn_local(async move {
                while let Some(request) = next(&queue) {
                    sender.ready().await?;
                    finish(sender.send_request(request).await?).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

fn tls(ca: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn next(queue: &Queue) -> Option<Request<Body>> {
    queue.borrow_mut().pop()
}

async fn finish(response: hyper::Response<hyper::body::Incoming>) -> Result<()> {
    let status = response.status();
    response.into_body().collect().await?;
    ensure!(status.is_success(), "the server answered {status}");
    Ok(())
}
