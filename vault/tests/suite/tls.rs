//! TLS: eight ways to fail, each with its own text, and few connections when it works.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use envlatch_test_support::{Authority, Identity, ScriptedServer};
use envlatch_vault::{Class, Roots, Session, Settings, Tls, TlsCause};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::bed::{SOON, secret, session_with, settings, soon};

const VALUE: &str = "value-canary-9";

fn trusting(authority: &str, url: &str) -> Settings {
    Settings {
        max_retries: Some(0),
        tls: Tls {
            roots: Roots::Bytes(authority.as_bytes().to_vec()),
            ..Tls::default()
        },
        ..settings(&[url])
    }
}

/// Takes each connection, reads what comes first, sends `answer` and closes.
fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut hello = [0; 4096];
            let _read = stream.read(&mut hello);
            let _sent = stream.write_all(answer);
        }
    });
    format!("https://{address}")
}

async fn failure(session: Session) -> (TlsCause, String) {
    let error = session.read("kv/app", None, soon()).await.unwrap_err();
    match error.class() {
        Class::Tls(cause) => (cause, error.to_string()),
        other => panic!("{other:?}: {error}"),
    }
}

async fn check(name: &str, settings: Settings, expected: TlsCause, text: &str) {
    let (cause, shown) = failure(session_with(settings)).await;
    assert_eq!(cause, expected, "{name}: {shown}");
    assert!(shown.contains(text), "{name}: {shown}");
}

#[tokio::test]
async fn certificates_that_are_not_trusted() {
    let authority = Authority::new();
    let show = |identity: &Identity| ScriptedServer::https(identity, |_| secret());
    let expired = show(&authority.issue_expired(&["127.0.0.1"]));
    check(
        "expired",
        trusting(&authority.pem(), &expired.url()),
        TlsCause::Expired,
        "renew it",
    )
    .await;
    let other = show(&authority.issue(&["vault.example", "10.0.0.1"]));
    check(
        "name",
        trusting(&authority.pem(), &other.url()),
        TlsCause::WrongName,
        "(vault.example, 10.0.0.1)",
    )
    .await;
    let good = show(&authority.issue(&["127.0.0.1"]));
    check(
        "issuer",
        trusting(&Authority::new().pem(), &good.url()),
        TlsCause::UnknownAuthority,
        "set VAULT_CACERT",
    )
    .await;
    assert!(
        session_with(trusting(&authority.pem(), &good.url()))
            .read("kv/app", None, soon())
            .await
            .is_ok()
    );
    for server in [&expired, &other] {
        assert!(server.requests().is_empty());
    }
}

#[tokio::test]
async fn a_certificate_of_the_future() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2200, 1, 1);
    params.not_after = rcgen::date_time_ymd(2201, 1, 1);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let config = server_config(
        None,
        certificate.der().clone(),
        PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
    );
    let (address, _) = h2_server(config).await;
    check(
        "future",
        trusting(&authority.pem(), &format!("https://{address}")),
        TlsCause::NotYetValid,
        "clock",
    )
    .await;
}

#[tokio::test]
async fn ports_that_speak_something_else() {
    let pem = Authority::new().pem();
    for (name, answer, expected, text) in [
        (
            "plain",
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            TlsCause::Plaintext,
            "write http://",
        ),
        ("cut", b"", TlsCause::HandshakeCut, "proxy or firewall"),
        (
            "TLS 1.1",
            b"\x15\x03\x02\x00\x02\x02\x46",
            TlsCause::ProtocolVersion,
            "enable TLS 1.2",
        ),
        (
            "no cipher",
            b"\x15\x03\x03\x00\x02\x02\x28",
            TlsCause::Other,
            "handshake failed",
        ),
    ] {
        check(name, trusting(&pem, &answering(answer)), expected, text).await;
    }
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let config = server_config(Some(&authority), certificate(&identity), key(&identity));
    let (address, _) = h2_server(config).await;
    let url = format!("https://{address}");
    check(
        "none",
        trusting(&authority.pem(), &url),
        TlsCause::ClientCertificate,
        "set VAULT_CLIENT_CERT",
    )
    .await;

    let mut with_certificate = trusting(&authority.pem(), &url);
    with_certificate.tls.identity = Some(envlatch_vault::ClientIdentity {
        certificate: envlatch_vault::Pem::Bytes(identity.certificate_pem.as_str().into()),
        key: envlatch_vault::Pem::Bytes(identity.key_pem.as_str().into()),
    });
    session_with(with_certificate)
        .read("kv/app", None, soon())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_not_waited_for_and_skipped_when_asked() {
    let server = ScriptedServer::https(&Authority::new().issue(&["elsewhere"]), |_| secret());
    let patient = Settings {
        max_retries: None,
        ..trusting(&Authority::new().pem(), &server.url())
    };
    let started = Instant::now();
    session_with(patient.clone())
        .read("kv/app", None, soon())
        .await
        .unwrap_err();
    assert!(started.elapsed() < SOON / 2);
    let careless = Settings {
        tls: Tls {
            verify: false,
            ..patient.tls.clone()
        },
        ..patient
    };
    session_with(careless)
        .read("kv/app", None, soon())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_name_in_the_certificate_may_differ_from_the_host() {
    let authority = Authority::new();
    let server = ScriptedServer::https(&authority.issue(&["vault.internal"]), |_| secret());
    let url = format!("https://localhost:{}", server.address().port());
    let mut named = trusting(&authority.pem(), &url);
    named.tls.server_name = Some("vault.internal".to_owned());
    session_with(named)
        .read("kv/app", None, soon())
        .await
        .unwrap();
    let host = format!("localhost:{}", server.address().port());
    assert_eq!(server.requests()[0].header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn eight_reads_at_once_share_one_connection() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let config = server_config(None, certificate(&identity), key(&identity));
    let (address, connections) = h2_server(config).await;
    let session = session_with(trusting(&authority.pem(), &format!("https://{address}")));
    let read = || session.read("kv/app", None, soon());
    let (a, b, c, d, e, f, g, h) = tokio::join!(
        read(),
        read(),
        read(),
        read(),
        read(),
        read(),
        read(),
        read()
    );
    assert!([a, b, c, d, e, f, g, h].iter().all(Result::is_ok));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

fn certificate(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap()
}

fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap()
}

/// Shows a certificate; with `clients`, wants one of that authority.
fn server_config(
    clients: Option<&Authority>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// An HTTP/2 server that answers every request with a secret, and counts its connections.
async fn h2_server(config: ServerConfig) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.ok()?;
                let mut connection = h2::server::handshake(stream).await.ok()?;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let mut body = respond.send_response(Default::default(), false).ok()?;
                    body.send_data(format!(r#"{{"data":{{"key":"{VALUE}"}}}}"#).into(), true)
                        .ok()?;
                }
                Some(())
            });
        }
    });
    (address, connections)
}

/// Everything that this process and the crates below it log is caught at the most verbose level.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_shows_a_credential_or_a_value() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let config = server_config(None, certificate(&identity), key(&identity));
    let (address, _) = h2_server(config).await;
    let session = session_with(trusting(&authority.pem(), &format!("https://{address}")));
    session.read("kv/app", None, soon()).await.unwrap();

    let failing = ScriptedServer::http(|request| {
        let token = request.header("x-vault-token").unwrap_or_default();
        envlatch_test_support::Answer::json(503, &format!(r#"{{"errors":["{token}"]}}"#))
    });
    let settings = Settings {
        max_retries: Some(2),
        ..settings(&[&failing.url()])
    };
    session_with(settings)
        .read("kv/app", None, soon())
        .await
        .unwrap_err();
    let client = envlatch_vault::Client::new(crate::bed::settings(&[&failing.url()])).unwrap();
    let deadline = Instant::now() + Duration::from_millis(300);
    Session::new(client, crate::bed::approle())
        .token(deadline)
        .await
        .unwrap_err();

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let messages = crate::bed::MESSAGES.lock().unwrap().clone();
    assert!(
        messages.contains("trying again") && messages.contains("kv/app"),
        "{messages}"
    );
    assert!(
        text.contains("h2::"),
        "what the crates below say is caught too"
    );
    let canaries = [
        crate::bed::TOKEN,
        "role-id-canary-2",
        "secret-id-canary-3",
        VALUE,
    ];
    envlatch_test_support::assert_no_canary(&[("log", text), ("messages", messages)], &canaries);
}
