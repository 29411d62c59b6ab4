//! `VaultStore`: how a Vault-compatible server is reached, and who may have what from it. Cluster-scoped and the
//! administrator's, so nothing that a tenant writes decides where a token is sent or whom TLS trusts.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DEFAULT_AUDIENCE;

/// A Vault-compatible server, and which namespaces may use which of its roles.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "envlatch.io",
    version = "v1alpha1",
    kind = "VaultStore",
    plural = "vaultstores",
    shortname = "vst",
    category = "envlatch",
    derive = "PartialEq",
    doc = "A Vault-compatible server, and which namespaces may use which of its roles.",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.addresses[0]"),
    printcolumn(name = "Auth", type_ = "string", json_path = ".spec.auth.mount"),
    printcolumn(name = "Audience", type_ = "string", json_path = ".spec.auth.audience"),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct VaultStoreSpec {
    /// Equivalent servers in the order of preference: https://HOST[:PORT][/PREFIX]. http is for tests: secrets and tokens then
    /// travel unencrypted.
    #[schemars(
        length(min = 1, max = 8),
        inner(length(min = 8, max = 512), regex(pattern = r"^https?://[^\s?#@]+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub addresses: Vec<String>,

    /// The server's own namespace (Vault Enterprise, OpenBao) for logins and requests. Default: the root namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[-_./a-zA-Z0-9]+$"))]
    pub server_namespace: Option<String>,

    /// Whom to trust over TLS.
    #[serde(default)]
    pub tls: StoreTls,

    /// How service accounts log in.
    #[serde(default)]
    pub auth: StoreAuth,

    /// Who may use the store. Without a grant nobody may.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub grants: Vec<Grant>,

    /// What a tenant may set beyond reading from the server as configured here. Everything is refused by default.
    #[serde(default)]
    pub allow: Allow,

    /// How much may be asked of the server by one node or operator.
    #[serde(default)]
    pub request_limit: RequestLimit,

    /// Whether bundles and classes that name neither a store nor an address use this one. At most one store may say so.
    #[serde(default)]
    pub default: bool,
}

/// Whom to trust over TLS.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreTls {
    /// The certificate authorities as PEM; no others are trusted then. Default: those in the image or of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = Rule::new("self.contains('-----BEGIN CERTIFICATE-----')").message("must be certificates as PEM"))]
    pub ca: Option<String>,

    /// The name to send and to verify instead of the address's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,

    /// Do not verify the server's certificate: whoever is in between can then read every secret. For tests.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}

/// How service accounts log in.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreAuth {
    /// The auth method at the mount.
    #[serde(default)]
    pub method: AuthMethod,

    /// Where the auth method is mounted, without auth/.
    #[serde(default = "default_mount")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[-_.a-zA-Z0-9]+(/[-_.a-zA-Z0-9]+)*$")
    )]
    pub mount: String,

    /// The audience of the service account tokens. It must be among the chart's tokenAudiences.
    #[serde(default = "default_audience")]
    #[schemars(length(min = 1, max = 256))]
    pub audience: String,

    /// Whether pods of one service account and role on a node share a login for reading key-value secrets. Default: Shared for
    /// kubernetes, PerPod for jwt, whose roles can be bound to claims of the pod. PerPod shows each pod in the server's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logins: Option<Logins>,
}

/// An auth method that takes service account tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMethod {
    /// The server asks the API server about each token (TokenReview)
    #[default]
    Kubernetes,
    /// The server verifies the signature of each token itself
    Jwt,
}

/// Who shares a login.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Logins {
    /// Pods of one service account and role on a node
    Shared,
    /// Nobody
    PerPod,
}

/// Namespaces that may use roles.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Namespaces by name; a name may end in * and then stands for all that begin so.
    #[schemars(
        length(min = 1, max = 64),
        inner(
            length(min = 1, max = 64),
            regex(pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?|[-a-z0-9]*\*)$")
        )
    )]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub namespaces: Vec<String>,

    /// Roles of the auth mount by name; a name may end in * and then stands for all that begin so.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 128), regex(pattern = r"^[^\s*]*\*?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub roles: Vec<String>,
}

/// What a tenant may set although it is not harmless.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Allow {
    /// Paths that may be written to (method write, or PUT and POST in a SecretProviderClass), such as pki/issue/web; a path may end
    /// in * and then stands for all that begin so.
    #[serde(default)]
    #[schemars(length(max = 128), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub writes: Vec<String>,

    /// Further namespaces of the server, with the same meaning of *.
    #[serde(default)]
    #[schemars(length(max = 128), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub server_namespaces: Vec<String>,

    /// Further auth mounts, without auth/.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub auth_mounts: Vec<String>,

    /// Further audiences. With the API server's own audience the server can act as the pod in Kubernetes.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub audiences: Vec<String>,

    /// Parameters of a SecretProviderClass or fields of a SecretsStoreImport that are ignored in favour of this store's instead of
    /// refused, such as vaultCACertPath when migrating.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ignored_parameters: Vec<String>,
}

/// How much may be asked of a server.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestLimit {
    /// Requests per second, on average.
    #[serde(default = "default_per_second")]
    #[schemars(range(min = 1, max = 10000))]
    pub per_second: u32,

    /// Requests that may be made at once after a pause.
    #[serde(default = "default_burst")]
    #[schemars(range(min = 1, max = 100000))]
    pub burst: u32,

    /// Requests under way at the same time.
    #[serde(default = "default_concurrent")]
    #[schemars(range(min = 1, max = 1024))]
    pub concurrent: u32,
}

impl Default for StoreAuth {
    fn default() -> Self {
        Self {
            method: AuthMethod::default(),
            mount: default_mount(),
            audience: default_audience(),
            logins: None,
        }
    }
}

impl Default for RequestLimit {
    fn default() -> Self {
        Self {
            per_second: default_per_second(),
            burst: default_burst(),
            concurrent: default_concurrent(),
        }
    }
}

fn default_mount() -> String {
    "kubernetes".to_owned()
}

fn default_audience() -> String {
    DEFAULT_AUDIENCE.to_owned()
}

fn default_per_second() -> u32 {
    200
}

fn default_burst() -> u32 {
    400
}

fn default_concurrent() -> u32 {
    16
}
