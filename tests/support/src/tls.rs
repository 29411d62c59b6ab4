//! Certificates for one test run: an authority of its own, and what it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key, signed by an [`Authority`].
pub struct Identity {
    /// The certificate
    pub certificate_pem: String,
    /// The key, as PKCS#8
    pub key_pem: String,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

/// The provider that every TLS connection of the harness uses, whatever else is linked.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

// === impl Authority ===

impl Authority {
    /// A new authority with a key of its own.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("cannot make a key");
        // Two authorities of one name would be told apart by a wrong signature, not as unknown issuers.
        let name = format!("envlatch test authority {:016x}", fastrand::u64(..));
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("cannot sign the authority");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// Its certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for servers and clients. `names` are DNS names or IP addresses; the first is the common name too.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.sign(names, |_| {})
    }

    /// A certificate like that of [`issue`](Self::issue) whose time is over.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        self.sign(names, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 2);
        })
    }

    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("cannot make a key");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let common_name = names.first().expect("a certificate names somebody").clone();
        let mut params = CertificateParams::new(names).expect("names are DNS names or addresses");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("cannot sign");
        Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }

    /// A client that trusts this authority alone.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate.der().clone())
            .expect("the certificate is well formed");
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring offers them")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Identity ===

impl Identity {
    /// A server that shows this certificate and asks for none.
    #[must_use]
    pub fn server_config(&self) -> ServerConfig {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring offers them")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .expect("the key belongs to the certificate")
    }
}
