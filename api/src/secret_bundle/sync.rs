//! `spec.sync` of a SecretBundle: the Kubernetes Secret that the operator keeps.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Kubernetes Secret that the operator makes of a bundle.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == oldSelf.type || self.secretName != oldSelf.secretName").message("the type of a Secret cannot change; give another secretName with it"),
    validation = Rule::new("self.ownership != 'Merge' || self.onDelete == 'Retain'").message("a Secret that others write too cannot be deleted; use onDelete: Retain")
)]
pub struct SyncSpec {
    /// The service account, in the bundle's namespace, as which the operator logs in. Pods always use their own.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub service_account: String,

    /// The name of the Secret, in the bundle's namespace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub secret_name: String,

    /// The type of the Secret. Types that give rights of their own are refused.
    #[serde(default = "default_type", rename = "type")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("!(self in ['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token', 'helm.sh/release.v1'])").message("this type gives rights of its own"))]
    pub type_: String,

    /// Labels of the Secret. Those of envlatch.io and kubernetes.io are refused when they are used.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub labels: BTreeMap<String, String>,

    /// Annotations of the Secret.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub annotations: BTreeMap<String, String>,

    /// Whose the Secret is.
    #[serde(default)]
    pub ownership: Ownership,

    /// What happens to the Secret when the bundle is deleted.
    #[serde(default)]
    pub on_delete: OnDelete,

    /// Keys of the Secret for entries whose names are not legal there (a slash), or that should differ.
    #[serde(default)]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub keys: Vec<SecretKey>,

    /// Whether a Secret may be left without any key because the server has none any more.
    #[serde(default)]
    pub allow_empty: bool,

    /// Workloads that are restarted when the content has changed, at most once in 5 minutes each.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".to_string(), "name".to_string()]))]
    pub restart: Vec<RestartTarget>,
}

/// Whose a Secret is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Ownership {
    /// The bundle's: it is made by it, and one that exists already is refused
    #[default]
    Own,
    /// Shared: only the bundle's keys are touched
    Merge,
    /// The bundle's from now on: one that exists is taken over, and its other keys stay
    Adopt,
}

/// What happens to a Secret when its bundle is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OnDelete {
    /// It stays as it is
    #[default]
    Retain,
    /// It is deleted
    Delete,
}

/// Under which key an entry is put.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct SecretKey {
    /// The name of a file: of an entry, a template, or what allKeys makes.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,

    /// The key of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A workload to restart.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
pub struct RestartTarget {
    /// Its kind.
    pub kind: RestartKind,

    /// Its name, in the bundle's namespace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub name: String,
}

/// The kind of a workload.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum RestartKind {
    /// apps/v1 Deployment
    Deployment,
    /// apps/v1 StatefulSet
    StatefulSet,
    /// apps/v1 DaemonSet
    DaemonSet,
}

fn default_type() -> String {
    "Opaque".to_owned()
}
