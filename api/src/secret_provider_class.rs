//! `SecretProviderClass` and `SecretProviderClassPodStatus` of the Secrets Store CSI Driver
//! (`secrets-store.csi.x-k8s.io/v1`), as its definitions have them: nothing is required, nothing is validated.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{CustomResource, Resource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to mount, in the words of a provider.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "secrets-store.csi.x-k8s.io",
    version = "v1",
    kind = "SecretProviderClass",
    plural = "secretproviderclasses",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    doc = "SecretProviderClass is the Schema for the secretproviderclasses API"
)]
#[serde(default, rename_all = "camelCase")]
pub struct SecretProviderClassSpec {
    /// Configuration for provider name
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,

    /// Configuration for specific provider
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<BTreeMap<String, String>>,

    /// Kubernetes Secrets to make of the files
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_objects: Option<Vec<SecretObject>>,
}

/// A Kubernetes Secret to make of the files.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecretObject {
    /// name of the K8s secret object
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,

    /// type of K8s secret object
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,

    /// labels of K8s secret object
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,

    /// annotations of k8s secret object
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,

    /// What goes into it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<SecretObjectData>>,
}

/// One key of such a Secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecretObjectData {
    /// name of the object to sync
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,

    /// data field to populate
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,

    /// Whether the file is decoded first; only Deckhouse's definition has it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode_base64: Option<bool>,
}

/// What was mounted into a pod. It has a status without a status subresource and no spec, which the derive macro cannot say.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretProviderClassPodStatus {
    /// `secrets-store.csi.x-k8s.io/v1`
    #[serde(default)]
    pub api_version: String,

    /// `SecretProviderClassPodStatus`
    #[serde(default)]
    pub kind: String,

    /// Name, namespace, labels and owner
    #[serde(default)]
    pub metadata: ObjectMeta,

    /// What was mounted
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PodStatus>,
}

/// What was mounted into a pod.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// The pod
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,

    /// The class
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_provider_class_name: Option<String>,

    /// Whether the volume is mounted
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounted: Option<bool>,

    /// Where it is mounted on the node
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_path: Option<String>,

    /// Its files
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<Vec<PodStatusObject>>,
}

/// SecretProviderClassObject defines the object fetched from external secrets store
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
pub struct PodStatusObject {
    /// The name of the file
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,

    /// Changes when the content does
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

// === impl SecretProviderClassPodStatus ===

impl Resource for SecretProviderClassPodStatus {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "SecretProviderClassPodStatus".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "secrets-store.csi.x-k8s.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "secretproviderclasspodstatuses".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
