//! Watches that keep [`World`] up to date and put what has changed into the queue.

use std::collections::HashSet;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use envlatch_api::{SecretProviderClass, VaultStore};
use futures_util::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::observed::Observed;
use crate::operator::Operator;
use crate::ownership::LABEL;
use crate::queue::Class;
use crate::world::Key;
use crate::write::Version;

/// How many objects are listed at once: a page lies in memory as it was sent and as it is understood.
const PAGE: u32 = 100;

/// Which namespaces are watched.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    /// Each of them
    All,
    /// These
    Listed(Vec<String>),
}

/// Counts the watches whose first list is complete.
#[derive(Clone, Debug)]
pub(crate) struct Listed(watch::Sender<usize>);

// === impl Scope ===

impl Scope {
    pub(crate) fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match self {
            Self::All => vec![Api::all(client.clone())],
            Self::Listed(names) => {
                let apis = names
                    .iter()
                    .map(|name| Api::namespaced(client.clone(), name));
                apis.collect()
            }
        }
    }
}

// === impl Listed ===

impl Listed {
    fn done(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// Starts every watch, and waits until each has listed once.
pub(crate) async fn start(
    operator: &Arc<Operator>,
    client: &Client,
    scope: &Scope,
    secret_objects: bool,
) {
    let (sender, mut listed) = watch::channel(0);
    let done = Listed(sender);
    let secrets = scope.apis::<PartialObjectMeta<Secret>>(client);
    let bundles = scope.apis::<Observed>(client);
    let expected = secrets.len() + bundles.len() + 1;
    let all = Api::all(client.clone());
    tokio::spawn(stores(Arc::clone(operator), all, done.clone()));
    for api in secrets {
        tokio::spawn(watch_secrets(Arc::clone(operator), api, done.clone()));
    }
    for api in bundles {
        tokio::spawn(watch_bundles(Arc::clone(operator), api, done.clone()));
    }
    let classes = if secret_objects {
        scope.apis(client)
    } else {
        Vec::new()
    };
    for api in classes {
        tokio::spawn(watch_classes(Arc::clone(operator), api));
    }
    // The senders live as long as the watches, which never end.
    drop(listed.wait_for(|count| *count >= expected).await);
}

/// Feeds `apply` and `delete` with what is there, and calls `listed` with the namespace after each list. Of what nobody waits for the
/// cluster may have no definition.
async fn follow<K>(
    api: Api<K>,
    config: Config,
    done: Option<Listed>,
    apply: impl Fn(K),
    delete: impl Fn(&Key),
    known: impl Fn() -> Vec<Key>,
    listed: impl Fn(Option<&str>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let scope = api.namespace().map(str::to_owned);
    let events = watcher(api, config).default_backoff();
    pin_mut!(events);
    let mut listing = HashSet::new();
    let mut first = done.as_ref();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(object)) => {
                listing.insert(Key::of(&object));
                apply(object);
            }
            Ok(Event::InitDone) => {
                let of_scope =
                    |key: &Key| scope.as_deref().is_none_or(|name| name == &*key.namespace);
                for key in known()
                    .iter()
                    .filter(|key| of_scope(key) && !listing.contains(*key))
                {
                    delete(key);
                }
                listing = HashSet::new();
                listed(scope.as_deref());
                if let Some(done) = first.take() {
                    done.done();
                }
            }
            Ok(Event::Apply(object)) => apply(object),
            Ok(Event::Delete(object)) => delete(&Key::of(&object)),
            Err(error) if done.is_none() && is_unknown(&error) => {
                tracing::debug!(
                    "no {} in this cluster",
                    K::plural(&K::DynamicType::default())
                );
            }
            Err(error) => {
                tracing::warn!(
                    "cannot watch {}: {error}",
                    K::plural(&K::DynamicType::default())
                );
                // A namespace that is deleted, or that nobody has made yet, keeps no other from being worked on.
                if scope.is_some()
                    && is_refused(&error)
                    && let Some(done) = first.take()
                {
                    done.done();
                }
            }
        }
    }
}

/// For objects of which there can be many.
fn config() -> Config {
    Config::default().page_size(PAGE)
}

/// Whether there is no such kind.
fn is_unknown(error: &watcher::Error) -> bool {
    has_code(error, 404)
}

/// Whether the right is lacking.
fn is_refused(error: &watcher::Error) -> bool {
    has_code(error, 403)
}

fn has_code(error: &watcher::Error, code: u16) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == code)
}

fn watch_secrets(
    operator: Arc<Operator>,
    api: Api<PartialObjectMeta<Secret>>,
    done: Listed,
) -> impl Future<Output = ()> {
    let wake = {
        let operator = Arc::clone(&operator);
        move |keys: Vec<Key>| {
            for key in keys {
                operator.want(key, Class::Change, Instant::now());
            }
        }
    };
    async move {
        let apply = |secret: PartialObjectMeta<Secret>| {
            wake(
                operator
                    .world
                    .set_secret(Key::of(&secret), Some(Version::of(&secret))),
            );
        };
        let delete = |key: &Key| wake(operator.world.set_secret(key.clone(), None));
        let known = || operator.world.secret_keys();
        let config = config().labels(&format!("{LABEL}=true"));
        let listed = |namespace: Option<&str>| wake(operator.world.listed_secrets(namespace));
        follow(api, config, Some(done), apply, delete, known, listed).await;
    }
}

async fn watch_bundles(operator: Arc<Operator>, api: Api<Observed>, done: Listed) {
    let apply = |observed: Observed| {
        let key = Key::of(&observed);
        match observed.bundle() {
            Ok(bundle) => operator.saw(bundle),
            // The schema refuses such objects; one that was written before it did is left as it is.
            Err(error) => tracing::warn!("{key}: cannot be understood: {error}"),
        }
    };
    let delete = |key: &Key| operator.lost(key);
    let known = || operator.world.bundle_keys();
    follow(api, config(), Some(done), apply, delete, known, |_| {}).await;
}

async fn watch_classes(operator: Arc<Operator>, api: Api<DeserializeGuard<SecretProviderClass>>) {
    let apply = |object: DeserializeGuard<SecretProviderClass>| match object.0 {
        Ok(class) => operator.saw_class(&class),
        Err(error) => tracing::warn!(
            "{}: cannot be understood: {}",
            error.metadata.name.unwrap_or_default(),
            error.error
        ),
    };
    let delete = |key: &Key| operator.lost_class(key);
    let known = || operator.world.classes();
    follow(api, Config::default(), None, apply, delete, known, |_| {}).await;
}

/// Stores are few, and a change of one concerns every bundle that uses it.
async fn stores(operator: Arc<Operator>, api: Api<VaultStore>, done: Listed) {
    let events = watcher(api, Config::default()).default_backoff();
    pin_mut!(events);
    let mut stores: Vec<VaultStore> = Vec::new();
    let mut listing = None;
    let mut first = true;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listing = Some(Vec::new()),
            Ok(Event::InitApply(store)) => listing.get_or_insert_default().push(store),
            Ok(Event::InitDone) => stores = listing.take().unwrap_or_default(),
            Ok(Event::Apply(store)) => {
                stores.retain(|other| other.name_any() != store.name_any());
                stores.push(store);
            }
            Ok(Event::Delete(store)) => stores.retain(|other| other.name_any() != store.name_any()),
            Err(error) => {
                tracing::warn!("cannot watch vaultstores: {error}");
                continue;
            }
        }
        if listing.is_none() {
            operator.stores_changed(stores.clone());
            if std::mem::take(&mut first) {
                done.done();
            }
        }
    }
}
