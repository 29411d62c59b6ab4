//! Whom to trust over TLS and what to present, made explicitly: no provider, root or setting comes from the process.

mod cause;
mod roots;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::Secret;
use crate::settings::{ClientIdentity, Pem, SettingError, Tls};

pub(crate) use cause::failure_of;

/// The TLS side of every connection that `settings` describes.
///
/// # Errors
/// Every setting whose certificates cannot be used.
pub(crate) fn client_config(settings: &Tls) -> Result<ClientConfig, Vec<SettingError>> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let roots = settings
        .verify
        .then(|| roots::load(&settings.roots))
        .transpose();
    let identity = settings
        .identity
        .as_ref()
        .map(|identity| load_identity(identity, &provider))
        .transpose();
    let (roots, identity) = match (roots, identity) {
        (Ok(roots), Ok(identity)) => (roots, identity),
        (roots, identity) => return Err(roots.err().into_iter().chain(identity.err()).collect()),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions");
    let builder = match roots {
        Some(roots) => builder.with_root_certificates(roots),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(algorithms))),
    };
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|cause| {
            let text = format!("does not fit the certificate: {cause}");
            vec![SettingError::new("VAULT_CLIENT_KEY", text)]
        })?,
        None => builder.with_no_client_auth(),
    };
    // With another name in the URL than the address has, only HTTP/1.1 can still send the address's own as the host.
    config.alpn_protocols = match settings.server_name {
        Some(_) => vec![b"http/1.1".to_vec()],
        None => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// From now on the flag tells whether a server asked for a client certificate on a connection of `config`.
pub(crate) fn observe_certificate_requests(config: &mut ClientConfig) -> Arc<AtomicBool> {
    let wanted = Arc::new(AtomicBool::new(false));
    config.client_auth_cert_resolver = Arc::new(Observed {
        resolver: Arc::clone(&config.client_auth_cert_resolver),
        wanted: Arc::clone(&wanted),
    });
    wanted
}

/// For a client that has no https address: it trusts nobody.
pub(crate) fn no_connections() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn load_identity(
    identity: &ClientIdentity,
    provider: &CryptoProvider,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), SettingError> {
    let pem = read_pem("VAULT_CLIENT_CERT", &identity.certificate)?;
    let chain = CertificateDer::pem_slice_iter(pem.expose())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_pem| SettingError::new("VAULT_CLIENT_CERT", "not a PEM document"))?;
    if chain.is_empty() {
        return Err(SettingError::new(
            "VAULT_CLIENT_CERT",
            "holds no certificate (PEM)",
        ));
    }
    let pem = read_pem("VAULT_CLIENT_KEY", &identity.key)?;
    let key = PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|_pem| {
        SettingError::new(
            "VAULT_CLIENT_KEY",
            "holds no private key that is not encrypted (PEM)",
        )
    })?;
    provider
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|_key| {
            SettingError::new(
                "VAULT_CLIENT_KEY",
                "holds a private key that cannot be used",
            )
        })?;
    Ok((chain, key))
}

fn read_pem(name: &str, pem: &Pem) -> Result<Secret, SettingError> {
    match pem {
        Pem::Bytes(bytes) => Ok(bytes.clone()),
        Pem::File(path) => std::fs::read(path)
            .map(Secret::new)
            .map_err(|cause| file_error(name, path, &cause)),
    }
}

fn file_error(name: &str, path: &Path, cause: &impl fmt::Display) -> SettingError {
    SettingError::new(name, format!("cannot read {}: {cause}", path.display()))
}

/// Gives the same certificate as `resolver`, and remembers that one was wanted.
#[derive(Debug)]
struct Observed {
    resolver: Arc<dyn ResolvesClientCert>,
    wanted: Arc<AtomicBool>,
}

impl ResolvesClientCert for Observed {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.wanted.store(true, Ordering::Relaxed);
        self.resolver.resolve(root_hint_subjects, sigschemes)
    }

    fn has_certs(&self) -> bool {
        self.resolver.has_certs()
    }
}

/// Accepts every certificate, for `VAULT_SKIP_VERIFY`. Signatures are still checked, so the peer holds the key it shows.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
