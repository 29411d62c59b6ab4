//! The least that somebody must do who has to have the secrets of a volume: one login, and all paths at once, on a connection
//! that is open already.

use anyhow::{Context as _, Result};
use envlatch_test_support::Vault;
use futures_util::future::try_join_all;
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

use crate::node::ROLE;

/// A client of the harness.
pub(crate) struct Floor {
    http: Client,
    address: String,
}

// === impl Floor ===

impl Floor {
    pub(crate) fn new(vault: &Vault) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(vault.ca_pem().as_bytes())?)?;
        let provider = rustls::crypto::ring::default_provider();
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(config)
            .build()?;
        Ok(Self {
            http,
            address: vault.address().to_owned(),
        })
    }

    /// Logs in with `jwt` and reads `paths`, all at once. Returns how many bytes came.
    pub(crate) async fn fetch(&self, jwt: &str, paths: &[String]) -> Result<usize> {
        let login = json!({"role": ROLE, "jwt": jwt}).to_string();
        let url = format!("{}/v1/auth/kubernetes/login", self.address);
        let answer = self.http.post(url).body(login).send().await?;
        let answer = answer.error_for_status()?.bytes().await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let token = answer["auth"]["client_token"].as_str();
        let token = token.context("a login has a token")?;
        let reads = paths.iter().map(|path| self.read(token, path));
        Ok(try_join_all(reads).await?.iter().sum())
    }

    async fn read(&self, token: &str, path: &str) -> Result<usize> {
        let url = format!("{}/v1/secret/data/{path}", self.address);
        let request = self.http.get(url).header("x-vault-token", token);
        let answer = request.send().await?.error_for_status()?;
        Ok(answer.bytes().await?.len())
    }
}
