//! Which class a volume names, and the class as the API server had it.

use std::collections::BTreeMap;
use std::fmt;

use envlatch_api::{
    REFRESH_AT, SecretBundle, SecretBundleSpec, SecretProviderClass, SecretProviderClassSpec,
    SecretsStoreImport, SecretsStoreImportSpec,
};
use envlatch_reference::nearest;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, from_bundle, from_class, from_import};
use crate::problem::Problem;

/// The kinds of class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Our own
    SecretBundle,
    /// The Secrets Store CSI Driver's
    SecretProviderClass,
    /// Deckhouse's
    SecretsStoreImport,
}

/// A class by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClassName {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A class as the API server had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    pub(crate) namespace: String,
    pub(crate) name: String,
    uid: String,
    generation: i64,
    /// Another value demands a refresh
    refresh_at: Option<String>,
    spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Spec {
    Bundle(SecretBundleSpec),
    ProviderClass(SecretProviderClassSpec),
    Import(SecretsStoreImportSpec),
}

// === impl Kind ===

impl Kind {
    /// The attribute that names such a class.
    fn attribute(self) -> &'static str {
        match self {
            Self::SecretBundle => "bundle",
            Self::SecretProviderClass => "secretProviderClass",
            Self::SecretsStoreImport => "secretsStoreImport",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

// === impl ClassName ===

impl ClassName {
    /// The class that `attributes` name for a pod in `namespace`. Whatever else a tenant puts there is refused: the peers let it
    /// override the class.
    pub(crate) fn of(
        attributes: &BTreeMap<String, String>,
        namespace: &str,
    ) -> Result<Self, Problem> {
        const KINDS: [Kind; 3] = [
            Kind::SecretBundle,
            Kind::SecretProviderClass,
            Kind::SecretsStoreImport,
        ];
        let names = KINDS.map(Kind::attribute);
        if let Some(unknown) = attributes.keys().find(|key| !names.contains(&key.as_str())) {
            let hint = nearest(unknown, names).map_or(String::new(), |similar| {
                format!("; did you mean {similar}?")
            });
            return Err(Problem::invalid(format!(
                "volumeAttributes: {unknown:?} is not taken from a pod{hint}; write it into the class, or remove it"
            )));
        }
        let mut named = KINDS
            .iter()
            .filter_map(|kind| Some((*kind, attributes.get(kind.attribute())?)));
        match (named.next(), named.next()) {
            (Some((kind, name)), None) if !name.is_empty() => Ok(Self {
                kind,
                namespace: namespace.to_owned(),
                name: name.clone(),
            }),
            (Some((kind, _)), None) => Err(Problem::invalid(format!(
                "volumeAttributes: {} is empty",
                kind.attribute()
            ))),
            (None, _) => Err(Problem::invalid(
                "volumeAttributes: names nothing to mount; set bundle, secretProviderClass or secretsStoreImport",
            )),
            (Some((one, _)), Some((other, _))) => Err(Problem::invalid(format!(
                "volumeAttributes: has both {} and {}; remove one of them",
                one.attribute(),
                other.attribute()
            ))),
        }
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

// === impl Class ===

impl Class {
    /// What it asks for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn plan(&self) -> Result<Plan, Problem> {
        let plan = match &self.spec {
            Spec::Bundle(spec) => from_bundle(spec),
            Spec::ProviderClass(spec) => from_class(spec),
            Spec::Import(spec) => from_import(spec),
        };
        plan.map_err(|problem| Problem {
            message: format!("{} {}: {}", self.kind(), self.name, problem.message),
            ..problem
        })
    }

    /// Which class it is, down to its latest change and the latest demand to look at once.
    pub(crate) fn version(&self) -> (String, i64, Option<String>) {
        let refresh_at = self.refresh_at.clone();
        (self.uid.clone(), self.generation, refresh_at)
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.spec {
            Spec::Bundle(_) => Kind::SecretBundle,
            Spec::ProviderClass(_) => Kind::SecretProviderClass,
            Spec::Import(_) => Kind::SecretsStoreImport,
        }
    }
}

impl From<SecretBundle> for Class {
    fn from(bundle: SecretBundle) -> Self {
        Self::new(&bundle, Spec::Bundle(bundle.spec.clone()))
    }
}

impl From<SecretProviderClass> for Class {
    fn from(class: SecretProviderClass) -> Self {
        Self::new(&class, Spec::ProviderClass(class.spec.clone()))
    }
}

impl From<SecretsStoreImport> for Class {
    fn from(import: SecretsStoreImport) -> Self {
        Self::new(&import, Spec::Import(import.spec.clone()))
    }
}

impl Class {
    fn new(object: &impl ResourceExt, spec: Spec) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            generation: object.meta().generation.unwrap_or_default(),
            refresh_at: object.annotations().get(REFRESH_AT).cloned(),
            spec,
        }
    }
}
