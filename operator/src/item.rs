//! What a Secret is kept for: a SecretBundle with `sync`, or one of the `secretObjects` of a SecretProviderClass, which is worked on as
//! if it were a bundle.
//!
//! A class has no status of ours, so nothing is remembered of it over a restart, and what would have to be is refused. Its Secret is
//! kept when it is gone.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use envlatch_api::{
    OnDelete, Ownership, REFRESH_AT, SecretBundle, SecretBundleSpec, SecretObject,
    SecretProviderClass, SecretProviderClassSpec, SyncSpec,
};
use envlatch_bundle::{
    About, Code, File, Issued, Plan, Problem, from_bundle, from_object, keys_of, unkept,
};
use kube::ResourceExt;
use ring::digest::{SHA256, digest};

use crate::content::{Data, content};
use crate::ownership::MANAGED;
use crate::world::Key;

/// On a SecretProviderClass: the service account, in its namespace, as which its `secretObjects` are fetched.
const SYNC_ACCOUNT: &str = "envlatch.io/sync-service-account";

/// API version and kind of a SecretProviderClass.
const CLASS: (&str, &str) = ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass");

/// A bundle, or what takes its place.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    bundle: SecretBundle,
    origin: Option<Arc<Origin>>,
}

/// Where an item comes from that is no bundle.
#[derive(Debug)]
struct Origin {
    name: String,
    uid: String,
    class: Arc<SecretProviderClassSpec>,
    object: SecretObject,
}

// === impl Item ===

impl Item {
    /// The `secretObjects` of a class, each an item.
    pub(crate) fn of_class(class: &SecretProviderClass) -> Vec<(Key, Self)> {
        let account = class.annotations().get(SYNC_ACCOUNT);
        let account = account.map_or("", String::as_str);
        let spec = Arc::new(class.spec.clone());
        let objects = class.spec.secret_objects.iter().flatten();
        let items = objects.map(|object| {
            let bundle = bundle(class, account, object);
            let origin = Origin {
                name: class.name_any(),
                uid: class.uid().unwrap_or_default(),
                class: Arc::clone(&spec),
                object: object.clone(),
            };
            let origin = Some(Arc::new(origin));
            (Key::of(&bundle), Self { bundle, origin })
        });
        items.collect()
    }

    /// Drops what can be as large as the rest and is not used.
    pub(crate) fn slim(&mut self) {
        let metadata = &mut self.bundle.metadata;
        metadata.managed_fields = None;
        metadata.resource_version = None;
        if let Some(annotations) = &mut metadata.annotations {
            annotations.retain(|name, _| name == REFRESH_AT);
        }
    }

    /// Drops the status, which is remembered elsewhere from the first turn on.
    pub(crate) fn forget_status(&mut self) {
        self.bundle.status = None;
    }

    /// The class that it comes from.
    pub(crate) fn class(&self) -> Option<&str> {
        self.origin.as_ref().map(|origin| origin.name.as_str())
    }

    /// What is asked of the server.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn plan(&self, sync: &SyncSpec) -> Result<Plan, Problem> {
        match &self.origin {
            None => from_bundle(&self.bundle.spec),
            Some(_) if sync.service_account.is_empty() => Err(no_account()),
            Some(origin) => from_object(&origin.class, &origin.object),
        }
    }

    /// What its Secret is to hold.
    ///
    /// # Errors
    /// What is wrong with `files`.
    pub(crate) fn content(&self, sync: &SyncSpec, files: Vec<File>) -> Result<Data, Problem> {
        match &self.origin {
            None => content(sync, files),
            Some(origin) => content(sync, keys_of(&origin.object, &files)?),
        }
    }

    /// Whether `issued` can be kept alive over a restart.
    ///
    /// # Errors
    /// It cannot.
    pub(crate) fn check_issued(&self, issued: &[Issued]) -> Result<(), Problem> {
        match (&self.origin, issued.first()) {
            (Some(_), Some(first)) => Err(unkept(&first.path)),
            _ => Ok(()),
        }
    }

    /// Whether it has a status to be written.
    pub(crate) fn has_status(&self) -> bool {
        self.origin.is_none()
    }

    /// Whom events are about.
    pub(crate) fn about(&self) -> About<'_> {
        match &self.origin {
            None => about(&self.bundle),
            Some(origin) => About {
                name: &origin.name,
                uid: &origin.uid,
                api_version: CLASS.0,
                kind: CLASS.1,
                ..about(&self.bundle)
            },
        }
    }
}

/// A bundle as what events are about.
pub(crate) fn about(bundle: &SecretBundle) -> About<'_> {
    fn text(text: &Option<String>) -> &str {
        text.as_deref().unwrap_or_default()
    }
    let metadata = &bundle.metadata;
    About {
        api_version: "envlatch.io/v1alpha1",
        kind: "SecretBundle",
        name: text(&metadata.name),
        namespace: text(&metadata.namespace),
        uid: text(&metadata.uid),
        action: "Sync",
    }
}

impl From<SecretBundle> for Item {
    fn from(bundle: SecretBundle) -> Self {
        Self {
            bundle,
            origin: None,
        }
    }
}

impl Deref for Item {
    type Target = SecretBundle;

    fn deref(&self) -> &SecretBundle {
        &self.bundle
    }
}

fn no_account() -> Problem {
    let text = format!(
        "secretObjects are not synced: no pod is waited for, so name the service account to log in as in the annotation {SYNC_ACCOUNT}"
    );
    Problem::new(Code::FailedPrecondition, "SyncAccountMissing", text)
}

/// The stand-in for one of the `secretObjects`. Its name has a slash, so it is no bundle's.
fn bundle(class: &SecretProviderClass, account: &str, object: &SecretObject) -> SecretBundle {
    let name = object.secret_name.clone().unwrap_or_default();
    let mut labels = object.labels.clone().unwrap_or_default();
    labels.insert(MANAGED.to_owned(), "true".to_owned());
    let sync = SyncSpec {
        service_account: account.to_owned(),
        secret_name: name.clone(),
        type_: object.type_.clone().unwrap_or_default(),
        labels,
        annotations: object.annotations.clone().unwrap_or_default(),
        ownership: Ownership::Own,
        on_delete: OnDelete::Retain,
        keys: Vec::new(),
        allow_empty: false,
        restart: Vec::new(),
    };
    let spec = SecretBundleSpec {
        store: None,
        role: String::new(),
        server_namespace: None,
        refresh: String::new(),
        default_mode: None,
        entries: Vec::new(),
        templates: Vec::new(),
        sync: Some(sync),
    };
    let mut bundle = SecretBundle::new(&format!("{}/{name}", class.name_any()), spec);
    let uid = class.uid().unwrap_or_default();
    bundle.metadata.namespace = class.namespace();
    // Each keeps the keys of its own Secret by its uid, which is part of an annotation's name and so short.
    let digest = HEXLOWER.encode(&digest(&SHA256, name.as_bytes()).as_ref()[..8]);
    bundle.metadata.uid = Some(format!("{uid}.{digest}"));
    bundle.metadata.generation = class.metadata.generation;
    // Another account is asked for as a refresh is.
    let asked = class
        .annotations()
        .get(REFRESH_AT)
        .map_or("", String::as_str);
    bundle.metadata.annotations = Some(BTreeMap::from([(
        REFRESH_AT.to_owned(),
        format!("{account} {asked}"),
    )]));
    bundle
}
