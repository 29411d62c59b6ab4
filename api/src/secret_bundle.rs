//! `SecretBundle`: which secrets a program needs. Namespaced and the tenant's. It names them once; files in a pod, environment
//! variables and a Kubernetes Secret are deliveries of it.

mod status;
mod sync;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use status::{AppliedSecret, LeaseRecord, SecretBundleStatus};
pub use sync::{OnDelete, Ownership, RestartKind, RestartTarget, SecretKey, SyncSpec};

/// A set of secrets from one store.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "envlatch.io",
    version = "v1alpha1",
    kind = "SecretBundle",
    plural = "secretbundles",
    shortname = "sb",
    category = "envlatch",
    namespaced,
    status = "SecretBundleStatus",
    derive = "PartialEq",
    doc = "Which secrets a program needs from one store; deliverable as files in a pod and as a Kubernetes Secret.",
    printcolumn(
        name = "Synced",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Synced\")].status"
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".status.conditions[?(@.type==\"Synced\")].lastTransitionTime"
    ),
    printcolumn(name = "Refresh", type_ = "string", json_path = ".spec.refresh"),
    printcolumn(name = "Lease", type_ = "date", json_path = ".status.leaseExpires"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = "1"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("size(self.entries) > 0 || size(self.templates) > 0").message("must have entries or templates"))]
pub struct SecretBundleSpec {
    /// The VaultStore. Default: the store that is marked default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub store: Option<String>,

    /// The role to log in with; the store must grant it to the namespace.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\s/]+$"))]
    pub role: String,

    /// Another namespace of the server than the store's; the store must allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[-_./a-zA-Z0-9]+$"))]
    pub server_namespace: Option<String>,

    /// How long files and Secrets may be older than what the server has, such as 5m: from 10s to 720h. Leases are renewed when
    /// they need it, whatever this says.
    #[serde(default = "default_refresh")]
    #[schemars(length(min = 2, max = 8), regex(pattern = r"^[1-9][0-9]{0,6}[smh]$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('720h')").message("must be from 10s to 720h"))]
    pub refresh: String,

    /// The mode of files, octal. Default: 0440 in a pod with an fsGroup, else 0444.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^0[0-7]{3}$"))]
    pub default_mode: Option<String>,

    /// The secrets.
    #[serde(default)]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub entries: Vec<Entry>,

    /// Texts made of the entries.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub templates: Vec<Template>,

    /// Copies the bundle into a Kubernetes Secret. Without it, only files in pods are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncSpec>,
}

/// One secret, or all keys of a path.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.key) ? 1 : 0) + (has(self.allKeys) ? 1 : 0) + (has(self.wholeResponse) ? 1 : 0) == 1").message("must have exactly one of key, allKeys and wholeResponse"),
    validation = Rule::new("!has(self.version) || self.method == 'read'").message("version is for method read"),
    validation = Rule::new("!has(self.prefix) || has(self.allKeys)").message("prefix is for allKeys"),
    validation = Rule::new("!has(self.version) || !self.arguments.exists(a, a.name == 'version')").message("version is given twice: as a field and as an argument")
)]
pub struct Entry {
    /// The name of the file and of the key; with allKeys only a name for messages. Parts between slashes make directories.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[-_.a-zA-Z0-9]+(/[-_.a-zA-Z0-9]+)*$")
    )]
    #[x_kube(validation = Rule::new("!self.startsWith('..') && self.split('/').all(p, p != '.' && p != '..')").message("must not begin with .. or have . or .. as a part"))]
    pub name: String,

    /// Where the secret is, as the server's API has it below /v1/: secret/data/app for a key-value engine of version 2.
    #[schemars(length(min = 3, max = 512), regex(pattern = r"^[^\s?#%]+(/[^?#%]+)+$"))]
    #[x_kube(validation = Rule::new("self.split('/').all(p, p != '' && p != '.' && p != '..')").message("must not have an empty part, . or .. in it"))]
    pub path: String,

    /// One key of the secret. What begins with / is a JSON pointer (RFC 6901) into it unless a key is spelled so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub key: Option<String>,

    /// Every key of the secret, each as a file of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self").message("must be true or absent"))]
    pub all_keys: Option<bool>,

    /// The server's whole response as JSON, without its request id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self").message("must be true or absent"))]
    pub whole_response: Option<bool>,

    /// What to put before the names that allKeys makes, such as db- or db/.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[-_.a-zA-Z0-9]+(/[-_.a-zA-Z0-9]*)*$")
    )]
    pub prefix: Option<String>,

    /// The version of a secret in a key-value engine of version 2. Default: the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2147483647))]
    pub version: Option<u32>,

    /// How the server is asked.
    #[serde(default)]
    pub method: Method,

    /// Sent along: as the query of a read, as the body of a write.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub arguments: Vec<Argument>,

    /// How the value is encoded on the server; it is delivered decoded.
    #[serde(default)]
    pub encoding: Encoding,

    /// The mode of the file, octal. Default: defaultMode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^0[0-7]{3}$"))]
    pub mode: Option<String>,

    /// Whether the entry may be missing on the server (no such path, key or version). A denial or an outage stays an error.
    #[serde(default)]
    pub optional: bool,
}

/// How the server is asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// GET
    #[default]
    Read,
    /// POST; the store must allow the path
    Write,
}

/// How a value is encoded on the server.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Encoding {
    /// As text, or as it is
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// In base64, padded; blanks and line breaks are skipped
    #[serde(rename = "base64")]
    Base64,
    /// In hexadecimal digits
    #[serde(rename = "hex")]
    Hex,
}

/// One argument of a request.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct Argument {
    /// Its name, such as common_name.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-_.a-zA-Z0-9]+$"))]
    pub name: String,

    /// Its value. Not a place for secrets: whoever may read the bundle can read it.
    #[schemars(length(max = 256))]
    pub value: String,
}

/// A text made of the entries.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct Template {
    /// The name of the file and of the key.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[-_.a-zA-Z0-9]+(/[-_.a-zA-Z0-9]+)*$")
    )]
    #[x_kube(validation = Rule::new("!self.startsWith('..') && self.split('/').all(p, p != '.' && p != '..')").message("must not begin with .. or have . or .. as a part"))]
    pub name: String,

    /// The text; ${.NAME | FUNCTION} stands for an entry.
    #[schemars(length(min = 1, max = 8192))]
    pub text: String,

    /// The mode of the file, octal. Default: defaultMode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^0[0-7]{3}$"))]
    pub mode: Option<String>,
}

fn default_refresh() -> String {
    "5m".to_owned()
}
