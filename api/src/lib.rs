//! The Kubernetes types that envlatch reads and writes: its own, and the foreign ones that it understands.
//!
//! Own: [`VaultStore`] (cluster-scoped, the administrator's) and [`SecretBundle`] (namespaced, the tenant's). Foreign:
//! [`SecretProviderClass`] and its pod status of the Secrets Store CSI Driver, and Deckhouse's [`SecretsStoreImport`]; they are
//! read as their own projects define them and never extended.
//!
//! What can be checked without knowing other objects is checked by the API server, with the bounds and CEL rules of the schemas,
//! so a wrong object is refused when it is written. [`manifests`] holds the generated definitions.

#![expect(
    unreachable_pub,
    reason = "the derive macro KubeSchema makes hidden copies of the types"
)]
#![expect(
    clippy::duplicated_attributes,
    reason = "the columns of a definition are attributes with equal parts"
)]

pub mod manifests;
mod secret_bundle;
mod secret_provider_class;
mod secrets_store_import;
mod vault_store;

pub use secret_bundle::{
    AppliedSecret, Argument, Encoding, Entry, LeaseRecord, Method, OnDelete, Ownership,
    RestartKind, RestartTarget, SecretBundle, SecretBundleSpec, SecretBundleStatus, SecretKey,
    SyncSpec, Template,
};
pub use secret_provider_class::{
    PodStatus, PodStatusObject, SecretObject, SecretObjectData, SecretProviderClass,
    SecretProviderClassPodStatus, SecretProviderClassSpec,
};
pub use secrets_store_import::{
    ImportFile, ImportSource, ImportType, SecretsStoreImport, SecretsStoreImportSpec,
};
pub use vault_store::{
    Allow, AuthMethod, Grant, Logins, RequestLimit, StoreAuth, StoreTls, VaultStore, VaultStoreSpec,
};

/// The API group of our own types.
pub const GROUP: &str = "envlatch.io";

/// On a SecretBundle, SecretProviderClass or SecretsStoreImport: any change of its value makes every delivery refresh at once.
pub const REFRESH_AT: &str = "envlatch.io/refresh-at";

/// The audience of service account tokens for a store that names none.
pub const DEFAULT_AUDIENCE: &str = "vault";
