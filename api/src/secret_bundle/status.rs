//! The status of a SecretBundle, written by the operator. An unchanged refresh writes nothing, so there is no "last checked".

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the operator made of a bundle.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretBundleStatus {
    /// The generation of the spec that the status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The beginning of the value of the annotation envlatch.io/refresh-at that was obeyed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_refresh_at: Option<String>,

    /// Ready (everything is as the spec says), Synced (the Secret holds what the server had) and LeaseHealthy (leases are renewed in
    /// time).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,

    /// The Secret that was written last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<AppliedSecret>,

    /// When the first of the leases ends unless it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires: Option<Time>,

    /// The leases behind the Secret, written down before it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".to_string()]))]
    pub leases: Vec<LeaseRecord>,

    /// The login behind the leases, encrypted with the operator's key: with it, a restarted operator renews them instead of having
    /// others issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// A Secret that was written.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedSecret {
    /// Its name.
    pub name: String,

    /// Its uid.
    pub uid: String,

    /// A keyed hash of its content.
    pub hash: String,

    /// Its resourceVersion after that: while it stays, nobody has to read the Secret to know what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// A lease that the bundle holds.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseRecord {
    /// Its name on the server.
    pub id: String,

    /// The path that issued it.
    pub path: String,

    /// The hash of the content that it is part of. A Secret with another hash does not hold it yet, or any more.
    pub hash: String,

    /// When it ends unless it is renewed.
    pub expires: Time,

    /// When it ends for good: its maximum or the end of the token that it belongs to, whichever is first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Time>,
}
