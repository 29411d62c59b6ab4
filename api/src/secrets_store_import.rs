//! `SecretsStoreImport` of Deckhouse (`deckhouse.io/v1alpha1`), as its definition has it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which files to make of which keys.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "deckhouse.io",
    version = "v1alpha1",
    kind = "SecretsStoreImport",
    plural = "secretsstoreimports",
    shortname = "ssi",
    namespaced,
    derive = "PartialEq",
    doc = "Namespaced resource to define mapping between Vault-compatible storage and files in containers."
)]
#[serde(rename_all = "camelCase")]
pub struct SecretsStoreImportSpec {
    /// Type of a mechanism for delivering secrets into the cluster.
    #[serde(rename = "type")]
    pub type_: ImportType,

    /// Role in a Vault-compatible storage.
    #[schemars(regex(pattern = r"^[-_\.a-zA-Z0-9]+$"))]
    pub role: String,

    /// Authentication mount path in a Vault-compatible storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[-_.a-zA-Z0-9]+$"))]
    pub auth_path: Option<String>,

    /// Namespace of the Vault-compatible storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[-_./a-zA-Z0-9]+$"))]
    pub namespace: Option<String>,

    /// Address of a Vault-compatible storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^https?://[.:0-9a-zA-Z-]+$"))]
    pub address: Option<String>,

    /// CA certificate in PEM format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^-----BEGIN CERTIFICATE-----\n(.+\n){5}"))]
    pub ca_cert: Option<String>,

    /// JWT token recipient audience (`aud` claim in a token).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,

    /// Skips verification of TLS certificates.
    #[serde(
        default,
        rename = "skipTLSVerify",
        skip_serializing_if = "Option::is_none"
    )]
    pub skip_tls_verify: Option<bool>,

    /// The files.
    pub files: Vec<ImportFile>,
}

/// How secrets are delivered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ImportType {
    /// As a volume
    #[serde(rename = "CSI")]
    Csi,
}

/// One file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportFile {
    /// Filename where the secret is written.
    #[schemars(regex(pattern = r"^[-_a-zA-Z0-9.]+$"))]
    pub name: String,

    /// Enables decoding of a Base64-encoded secret value before saving it to a file.
    #[serde(default)]
    pub decode_base64: bool,

    /// Where the value is.
    pub source: ImportSource,
}

/// Where a value is.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ImportSource {
    /// Path to the secret in a Vault-compatible KV store.
    #[schemars(regex(pattern = r"^[-a-zA-Z0-9_.\/]+$"))]
    pub path: String,

    /// Secret key name in a Vault-compatible KV store.
    #[schemars(regex(pattern = r"^[-a-zA-Z0-9_.]+$"))]
    pub key: String,
}
