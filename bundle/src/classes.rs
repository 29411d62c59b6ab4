//! The classes and stores in use on this node, with the last good copy of each for when the API server is away.

use std::collections::HashMap;
use std::fmt::Debug;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use envlatch_api::{SecretBundle, SecretProviderClass, SecretsStoreImport, VaultStore};
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, ListParams, ObjectList, WatchEvent, WatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::Problem;
use crate::class::{Class, ClassName, Kind};
use crate::follow::{Followed, Latest, READ, ReadError, read};
use crate::problem::Code;
use crate::schedule::Schedule;
use crate::store;

/// How soon the stores are looked at again after a change, and after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// What is known of the cluster's classes and stores.
pub(crate) struct Classes {
    client: Client,
    followed: Mutex<HashMap<ClassName, Weak<Followed<Class>>>>,
    stores: tokio::sync::Mutex<Option<Stores>>,
    schedule: Arc<Schedule>,
}

/// Every store and its present state. The watch ends with the value.
struct Stores {
    latest: Arc<RwLock<Arc<Vec<VaultStore>>>>,
    task: AbortHandle,
}

// === impl Classes ===

impl Classes {
    /// Volumes in `schedule` are looked at when their class or a store changes.
    pub(crate) fn new(client: Client, schedule: Arc<Schedule>) -> Self {
        Self {
            client,
            schedule,
            followed: Mutex::default(),
            stores: tokio::sync::Mutex::default(),
        }
    }

    /// The class, watched for as long as what is returned lives.
    pub(crate) async fn follow(&self, name: &ClassName) -> Result<Arc<Followed<Class>>, Problem> {
        if let Some(followed) = self.known(name) {
            return Ok(followed);
        }
        let followed = match name.kind {
            Kind::SecretBundle => self.start::<SecretBundle>(name).await,
            Kind::SecretProviderClass => self.start::<SecretProviderClass>(name).await,
            Kind::SecretsStoreImport => self.start::<SecretsStoreImport>(name).await,
        }?;
        // Entries are added and removed whole, so a panic elsewhere cannot have broken the map.
        let mut known = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, followed| followed.strong_count() > 0);
        if let Some(faster) = known.get(name).and_then(Weak::upgrade) {
            return Ok(faster);
        }
        let followed = Arc::new(followed);
        known.insert(name.clone(), Arc::downgrade(&followed));
        Ok(followed)
    }

    fn known(&self, name: &ClassName) -> Option<Arc<Followed<Class>>> {
        let known = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(name)?
            .upgrade()
            .filter(|followed| matches!(followed.latest(), Latest::Present(_)))
    }

    async fn start<K>(&self, name: &ClassName) -> Result<Followed<Class>, Problem>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + ResourceExt
            + Into<Class>
            + Send
            + 'static,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &name.namespace);
        let object = read(&api, &name.name)
            .await
            .map_err(|error| unread(name, error))?;
        let (schedule, name) = (Arc::clone(&self.schedule), name.clone());
        Ok(Followed::start(api, &object, move || schedule.hurry(&name)))
    }

    /// The stores, watched from the first use on. This is a list, the only one: the default store and the one of an address cannot
    /// be found by name. Stores hold no secrets, and there are few.
    pub(crate) async fn stores(&self) -> Result<Arc<Vec<VaultStore>>, Problem> {
        let mut stores = self.stores.lock().await;
        if let Some(stores) = &*stores {
            return Ok(stores.latest());
        }
        match list(&self.client).await {
            Ok(list) => {
                let followed = Stores::start(self.client.clone(), list, &self.schedule);
                let known = followed.latest();
                *stores = Some(followed);
                Ok(known)
            }
            Err(ReadError::Failed(cause)) => Err(Problem::new(
                Code::Unavailable,
                "StoreUnread",
                format!("no VaultStore was read on this node yet, and {cause}"),
            )),
            Err(ReadError::Absent | ReadError::NoSuchKind) => Err(Problem::new(
                Code::FailedPrecondition,
                "StoreNotFound",
                "the cluster has no definition of VaultStore; apply deploy/crds.yaml",
            )),
        }
    }
}

// === impl Stores ===

impl Stores {
    fn start(client: Client, list: ObjectList<VaultStore>, schedule: &Arc<Schedule>) -> Self {
        let version = list.metadata.resource_version.clone();
        let latest = Arc::new(RwLock::new(Arc::new(list.items)));
        let follow = follow_stores(client, version, Arc::clone(&latest), Arc::clone(schedule));
        let task = tokio::spawn(follow).abort_handle();
        Self { latest, task }
    }

    fn latest(&self) -> Arc<Vec<VaultStore>> {
        // It is replaced as a whole, so a panic elsewhere cannot have broken it.
        Arc::clone(&self.latest.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn list(client: &Client) -> Result<ObjectList<VaultStore>, ReadError> {
    let api: Api<VaultStore> = Api::all(client.clone());
    match timeout(READ, api.list(&ListParams::default())).await {
        Ok(Ok(list)) => Ok(list),
        Ok(Err(error)) => Err(ReadError::of(error, "\0")),
        Err(_elapsed) => Err(ReadError::Failed(
            "the API server does not answer".to_owned(),
        )),
    }
}

/// Reads the list again whenever something in it changed; it is small, and changes once in months.
async fn follow_stores(
    client: Client,
    mut version: Option<String>,
    latest: Arc<RwLock<Arc<Vec<VaultStore>>>>,
    schedule: Arc<Schedule>,
) {
    let api: Api<VaultStore> = Api::all(client.clone());
    loop {
        if let Some(from) = &version {
            wait_for_change(&api, from).await;
        }
        match list(&client).await {
            Ok(list) => {
                version = list.metadata.resource_version;
                let stores = Arc::new(list.items);
                let mut latest = latest.write().unwrap_or_else(PoisonError::into_inner);
                let before = mem::replace(&mut *latest, Arc::clone(&stores));
                if !before
                    .iter()
                    .map(store::version)
                    .eq(stores.iter().map(store::version))
                {
                    schedule.hurry_all();
                }
            }
            Err(_) => version = None,
        }
        sleep(AGAIN).await;
    }
}

async fn wait_for_change(api: &Api<VaultStore>, from: &str) {
    if let Ok(events) = api.watch(&WatchParams::default().timeout(290), from).await {
        let mut events = events.boxed();
        while let Ok(Some(WatchEvent::Bookmark(_))) = events.try_next().await {}
    }
}

fn unread(name: &ClassName, error: ReadError) -> Problem {
    match error {
        ReadError::Absent => {
            let text = format!(
                "there is no {name}; make it in the pod's namespace, or correct the name in volumeAttributes"
            );
            Problem::new(Code::NotFound, "ClassNotFound", text)
        }
        ReadError::NoSuchKind => Problem::new(
            Code::FailedPrecondition,
            "ClassKindUnknown",
            format!(
                "the cluster has no definition of {}; apply {}",
                name.kind,
                definition(name.kind)
            ),
        ),
        ReadError::Failed(cause) => {
            let text = format!("{name} was never seen on this node, and {cause}");
            Problem::new(Code::Unavailable, "ClassUnread", text)
        }
    }
}

fn definition(kind: Kind) -> &'static str {
    match kind {
        Kind::SecretBundle => "deploy/crds.yaml",
        Kind::SecretProviderClass | Kind::SecretsStoreImport => {
            "deploy/crds-compat.yaml, or install what it belongs to"
        }
    }
}
