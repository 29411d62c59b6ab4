//! The definitions (CustomResourceDefinition) of the types, as they are written to `deploy/`.
//!
//! Two things that the derive macro does differ from what the API should be, and are corrected here: optional fields are not
//! nullable (absent is the one way to say nothing, and rules need not tell two kinds of it apart), and the foreign definitions
//! require no spec where theirs do not.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::schema::StructuralSchemaRewriter;
use kube::{CustomResourceExt, Resource};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::{
    SecretBundle, SecretProviderClass, SecretProviderClassPodStatus, SecretsStoreImport, VaultStore,
};

/// The definitions of our own types.
#[must_use]
pub fn own() -> Vec<CustomResourceDefinition> {
    [VaultStore::crd(), SecretBundle::crd()]
        .into_iter()
        .map(|definition| typed(without_nullable(untyped(&definition))))
        .collect()
}

/// The definitions of the foreign types, for clusters that have not got them.
#[must_use]
pub fn foreign() -> Vec<CustomResourceDefinition> {
    let class = without_required_spec(untyped(&SecretProviderClass::crd()));
    [class, pod_status(), untyped(&SecretsStoreImport::crd())]
        .into_iter()
        .map(|definition| typed(without_nullable(definition)))
        .collect()
}

fn pod_status() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings
        .with_transform(StructuralSchemaRewriter)
        .into_generator()
        .into_root_schema_for::<SecretProviderClassPodStatus>()
        .to_value();
    for (name, kind) in [
        ("apiVersion", "string"),
        ("kind", "string"),
        ("metadata", "object"),
    ] {
        schema["properties"][name] = json!({"type": kind});
    }
    schema
        .as_object_mut()
        .expect("a struct is an object")
        .remove("title");
    let (group, plural) = (
        SecretProviderClassPodStatus::group(&()),
        SecretProviderClassPodStatus::plural(&()),
    );
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "names": {
                "kind": SecretProviderClassPodStatus::kind(&()),
                "plural": plural,
                "singular": "secretproviderclasspodstatus",
            },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

fn without_required_spec(mut definition: Value) -> Value {
    let versions = definition["spec"]["versions"].as_array_mut();
    for version in versions.into_iter().flatten() {
        if let Some(schema) = version["schema"]["openAPIV3Schema"].as_object_mut() {
            schema.remove("required");
        }
    }
    definition
}

fn without_nullable(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(name, value)| !(name == "nullable" && value.is_boolean()))
            .map(|(name, value)| (name, without_nullable(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nullable).collect(),
        other => other,
    }
}

fn untyped(definition: &CustomResourceDefinition) -> Value {
    serde_json::to_value(definition).expect("a definition is JSON")
}

fn typed(definition: Value) -> CustomResourceDefinition {
    serde_json::from_value(definition).expect("it was a definition")
}
