//! A bundle as the watch reads it.
//!
//! Most of an object are `managedFields`, which nobody here wants; they are not even taken apart. One whose spec or status cannot be
//! understood is read all the same, so that it does not hide the others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use envlatch_api::{SecretBundle, SecretBundleSpec, SecretBundleStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A bundle, or what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    metadata: ObjectMeta,
    content: Result<(SecretBundleSpec, Option<SecretBundleStatus>), String>,
}

/// An object as it is sent.
#[derive(Deserialize)]
struct Sent {
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

/// What is used of the metadata.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    annotations: Option<BTreeMap<String, String>>,
}

// === impl Observed ===

impl Observed {
    /// The bundle.
    ///
    /// # Errors
    /// What cannot be understood.
    pub(crate) fn bundle(self) -> Result<SecretBundle, String> {
        let (spec, status) = self.content?;
        Ok(SecretBundle {
            metadata: self.metadata,
            spec,
            status,
        })
    }
}

impl<'de> Deserialize<'de> for Observed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Sent {
            metadata,
            spec,
            status,
        } = Sent::deserialize(deserializer)?;
        let content = SecretBundleSpec::deserialize(spec)
            .and_then(|spec| Ok((spec, Option::deserialize(status)?)))
            .map_err(|error| error.to_string());
        Ok(Self {
            metadata: metadata.into(),
            content,
        })
    }
}

impl Resource for Observed {
    type DynamicType = ();
    type Scope = <SecretBundle as Resource>::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        SecretBundle::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        SecretBundle::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        SecretBundle::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        SecretBundle::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl From<Metadata> for ObjectMeta {
    fn from(sent: Metadata) -> Self {
        Self {
            name: sent.name,
            namespace: sent.namespace,
            uid: sent.uid,
            resource_version: sent.resource_version,
            generation: sent.generation,
            deletion_timestamp: sent.deletion_timestamp,
            finalizers: sent.finalizers,
            annotations: sent.annotations,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn observed(spec: Value, status: Value) -> Observed {
        let object = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "SecretBundle",
            "metadata": {
                "name": "a", "namespace": "team", "uid": "u", "resourceVersion": "7", "generation": 2,
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
                "finalizers": ["envlatch.io/leases"], "labels": {"a": "b"}, "annotations": {"c": "d"},
                "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": spec, "status": status,
        });
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn what_is_used_of_a_bundle_is_read() {
        let status = json!({"observedGeneration": 2});
        let bundle = observed(json!({"role": "app"}), status).bundle().unwrap();
        let metadata = &bundle.metadata;
        assert_eq!(metadata.name.as_deref(), Some("a"));
        assert_eq!(metadata.namespace.as_deref(), Some("team"));
        assert_eq!(metadata.uid.as_deref(), Some("u"));
        assert_eq!(metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(metadata.generation, Some(2));
        assert!(metadata.deletion_timestamp.is_some());
        assert_eq!(
            metadata.finalizers.as_deref(),
            Some(&["envlatch.io/leases".to_owned()][..])
        );
        assert_eq!(metadata.annotations.as_ref().unwrap()["c"], "d");
        assert_eq!(metadata.managed_fields, None);
        assert_eq!(bundle.spec.role, "app");
        assert_eq!(bundle.status.unwrap().observed_generation, Some(2));
    }

    #[test]
    fn what_cannot_be_understood_has_a_name() {
        for (spec, status) in [
            (json!({"role": 1}), Value::Null),
            (Value::Null, Value::Null),
            (json!({"role": "app"}), json!({"leases": 1})),
        ] {
            let observed = observed(spec, status);
            assert_eq!(observed.meta().name.as_deref(), Some("a"));
            assert!(observed.bundle().is_err());
        }
    }
}
