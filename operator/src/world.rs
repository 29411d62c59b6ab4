//! What the API server said last: bundles, stores, and of Secrets with our label their names and versions alone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use envlatch_api::{REFRESH_AT, SecretBundle, VaultStore};
use kube::ResourceExt;

use crate::item::Item;
use crate::write::Version;

/// An object in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// A write of a Secret that is under way. How the Secret is seen meanwhile is news only when it is not what is written.
pub(crate) struct Write<'a> {
    world: &'a World,
    secret: Key,
    bundle: Key,
}

/// Everything that is watched.
#[derive(Default)]
pub(crate) struct World(Mutex<Known>);

#[derive(Default)]
struct Known {
    bundles: HashMap<Key, Arc<Item>>,
    /// Which bundles want a Secret
    wanted: HashMap<Key, BTreeSet<Key>>,
    secrets: HashMap<Key, Version>,
    /// The namespaces whose Secrets were listed; `None` stands for all
    listed: HashSet<Option<Arc<str>>>,
    /// Secrets that are being written, by whom, and how each was seen meanwhile
    writes: HashMap<(Key, Key), Vec<Option<Version>>>,
    stores: Arc<Vec<VaultStore>>,
}

// === impl Key ===

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    pub(crate) fn of(object: &impl ResourceExt) -> Self {
        Self::new(&object.namespace().unwrap_or_default(), &object.name_any())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

// === impl World ===

impl World {
    pub(crate) fn bundle(&self, key: &Key) -> Option<Arc<Item>> {
        self.known().bundles.get(key).cloned()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.known().bundles.keys().cloned().collect()
    }

    /// Of how many bundles something holds.
    pub(crate) fn count(&self, holds: impl Fn(&Key) -> bool) -> usize {
        self.known().bundles.keys().filter(|key| holds(key)).count()
    }

    /// The bundles that are objects of the API server.
    pub(crate) fn bundle_keys(&self) -> Vec<Key> {
        self.keys_where(|item| item.class().is_none())
    }

    /// What stands for the `secretObjects` of a class.
    pub(crate) fn objects_of(&self, class: &Key) -> Vec<Key> {
        let mut keys = self.keys_where(|item| item.class() == Some(&*class.name));
        keys.retain(|key| key.namespace == class.namespace);
        keys
    }

    /// The classes of these.
    pub(crate) fn classes(&self) -> Vec<Key> {
        let known = self.known();
        let classes = known
            .bundles
            .iter()
            .filter_map(|(key, item)| Some(Key::new(&key.namespace, item.class()?)));
        classes.collect()
    }

    fn keys_where(&self, holds: impl Fn(&Item) -> bool) -> Vec<Key> {
        let known = self.known();
        let found = known.bundles.iter().filter(|(_, item)| holds(item));
        found.map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn stores(&self) -> Arc<Vec<VaultStore>> {
        Arc::clone(&self.known().stores)
    }

    pub(crate) fn set_stores(&self, stores: Vec<VaultStore>) {
        self.known().stores = Arc::new(stores);
    }

    /// Takes a bundle in. Returns whether it is to be looked at: a change of its status is not.
    pub(crate) fn set_bundle(&self, bundle: impl Into<Item>) -> bool {
        let mut bundle = bundle.into();
        bundle.slim();
        let key = Key::of(&*bundle);
        let mut known = self.known();
        let earlier = known.bundles.get(&key).cloned();
        if let Some(earlier) = &earlier {
            known.unwant(&key, earlier);
        }
        if let Some(secret) = secret_of(&bundle) {
            known.wanted.entry(secret).or_default().insert(key.clone());
        }
        let news = earlier
            .as_ref()
            .is_none_or(|earlier| differs(earlier, &bundle));
        if !news && earlier.is_some_and(|earlier| earlier.status.is_none()) {
            bundle.forget_status();
        }
        known.bundles.insert(key, Arc::new(bundle));
        news
    }

    /// Somebody else remembers the status of a bundle, also when it changes.
    pub(crate) fn forget_status(&self, key: &Key) {
        if let Some(bundle) = self.known().bundles.get_mut(key)
            && bundle.status.is_some()
        {
            Arc::make_mut(bundle).forget_status();
        }
    }

    /// A bundle is gone. Returns the others that want its Secret.
    pub(crate) fn remove_bundle(&self, key: &Key) -> Vec<Key> {
        let mut known = self.known();
        let Some(bundle) = known.bundles.remove(key) else {
            return Vec::new();
        };
        known.unwant(key, &bundle);
        let secret = secret_of(&bundle);
        secret.map_or_else(Vec::new, |secret| known.wanting(&secret))
    }

    pub(crate) fn secret(&self, key: &Key) -> Option<Version> {
        self.known().secrets.get(key).cloned()
    }

    /// A Secret has this version, or is gone. Returns the bundles that want it, if that is news.
    pub(crate) fn set_secret(&self, key: Key, version: Option<Version>) -> Vec<Key> {
        self.known().set_secret(key, version)
    }

    /// The Secrets of a namespace, or of all, are known. Returns its bundles when that is news.
    pub(crate) fn listed_secrets(&self, namespace: Option<&str>) -> Vec<Key> {
        let mut known = self.known();
        if !known.listed.insert(namespace.map(Arc::from)) {
            return Vec::new();
        }
        let of_scope = |key: &&Key| namespace.is_none_or(|name| name == &*key.namespace);
        known.bundles.keys().filter(of_scope).cloned().collect()
    }

    /// Whether a Secret of a namespace that is not known does not exist.
    pub(crate) fn has_listed(&self, namespace: &Arc<str>) -> bool {
        let known = self.known();
        known.listed.contains(&None) || known.listed.contains(&Some(Arc::clone(namespace)))
    }

    /// `bundle` writes `secret` from now on.
    pub(crate) fn begin_write(&self, secret: &Key, bundle: &Key) -> Write<'_> {
        let names = (secret.clone(), bundle.clone());
        self.known().writes.insert(names, Vec::new());
        Write {
            world: self,
            secret: secret.clone(),
            bundle: bundle.clone(),
        }
    }

    pub(crate) fn secret_keys(&self) -> Vec<Key> {
        self.known().secrets.keys().cloned().collect()
    }

    /// Whether a bundle of `namespace` has this uid.
    pub(crate) fn lives(&self, namespace: &str, uid: &str) -> bool {
        self.known().bundles.iter().any(|(key, bundle)| {
            &*key.namespace == namespace && bundle.metadata.uid.as_deref() == Some(uid)
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Entries are replaced whole, so a panic elsewhere cannot have broken the maps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Write ===

impl Write<'_> {
    /// It made this version. Returns the bundles for which the Secret is another one than they know; the one that wrote is among them
    /// when somebody else wrote after it.
    pub(crate) fn done(self, version: &Version) -> Vec<Key> {
        let mut known = self.world.known();
        let seen = known.end_write(&self.secret, &self.bundle);
        match seen.iter().rposition(|seen| seen.as_ref() == Some(version)) {
            Some(own) if own + 1 < seen.len() => vec![self.bundle.clone()],
            Some(_) => Vec::new(),
            None => {
                // Whatever was seen is older: a watch keeps to the order.
                let mut others = known.set_secret(self.secret.clone(), Some(version.clone()));
                others.retain(|other| *other != self.bundle);
                others
            }
        }
    }

    /// Nothing came of it. Returns the bundle when the Secret changed meanwhile.
    pub(crate) fn failed(self) -> Option<Key> {
        let seen = self.world.known().end_write(&self.secret, &self.bundle);
        (!seen.is_empty()).then(|| self.bundle.clone())
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        self.world.known().end_write(&self.secret, &self.bundle);
    }
}

// === impl Known ===

impl Known {
    fn set_secret(&mut self, key: Key, version: Option<Version>) -> Vec<Key> {
        let earlier = match version.clone() {
            Some(version) => self.secrets.insert(key.clone(), version),
            None => self.secrets.remove(&key),
        };
        if earlier == version {
            return Vec::new();
        }
        let mut wanting = self.wanting(&key);
        wanting.retain(|bundle| {
            let write = self.writes.get_mut(&(key.clone(), bundle.clone()));
            write.map(|seen| seen.push(version.clone())).is_none()
        });
        wanting
    }

    fn end_write(&mut self, secret: &Key, bundle: &Key) -> Vec<Option<Version>> {
        let names = (secret.clone(), bundle.clone());
        self.writes.remove(&names).unwrap_or_default()
    }

    fn unwant(&mut self, key: &Key, bundle: &SecretBundle) {
        let Some(secret) = secret_of(bundle) else {
            return;
        };
        if let Some(keys) = self.wanted.get_mut(&secret) {
            keys.remove(key);
            if keys.is_empty() {
                self.wanted.remove(&secret);
            }
        }
    }

    fn wanting(&self, secret: &Key) -> Vec<Key> {
        let keys = self.wanted.get(secret);
        keys.into_iter().flatten().cloned().collect()
    }
}

/// The Secret that a bundle wants.
pub(crate) fn secret_of(bundle: &SecretBundle) -> Option<Key> {
    let sync = bundle.spec.sync.as_ref()?;
    Some(Key::new(&bundle.namespace()?, &sync.secret_name))
}

fn differs(earlier: &SecretBundle, now: &SecretBundle) -> bool {
    let parts = |bundle: &SecretBundle| {
        let metadata = &bundle.metadata;
        (
            metadata.uid.clone(),
            metadata.generation,
            metadata.deletion_timestamp.is_some(),
            bundle.annotations().get(REFRESH_AT).cloned(),
        )
    };
    parts(earlier) != parts(now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bundle(name: &str, generation: i64, secret: &str) -> SecretBundle {
        serde_json::from_value(json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "SecretBundle",
            "metadata": {"name": name, "namespace": "team", "uid": name, "generation": generation},
            "spec": {"role": "app", "sync": {"serviceAccount": "app", "secretName": secret}},
        }))
        .unwrap()
    }

    #[test]
    fn a_status_is_no_news_and_a_spec_is() {
        let world = World::default();
        assert!(world.set_bundle(bundle("a", 1, "s")));
        assert!(!world.set_bundle(bundle("a", 1, "s")));
        assert!(world.set_bundle(bundle("a", 2, "s")));
        let mut asked = bundle("a", 2, "s");
        asked
            .annotations_mut()
            .insert(REFRESH_AT.to_owned(), "now".to_owned());
        assert!(world.set_bundle(asked));
    }

    fn version(n: &str) -> Version {
        Version {
            uid: "u".to_owned(),
            resource_version: n.to_owned(),
        }
    }

    #[test]
    fn what_one_writes_oneself_is_no_news() {
        let world = World::default();
        world.set_bundle(bundle("a", 1, "s"));
        world.set_bundle(bundle("b", 1, "s"));
        let secret = Key::new("team", "s");
        let (a, b) = (Key::new("team", "a"), Key::new("team", "b"));
        let (only_a, only_b) = (vec![a.clone()], vec![b.clone()]);
        let see = |n: &str| world.set_secret(secret.clone(), Some(version(n)));
        // The watch is slower than the answer.
        let write = world.begin_write(&secret, &a);
        assert_eq!(write.done(&version("1")), only_b);
        assert!(see("1").is_empty());
        // It is faster.
        let write = world.begin_write(&secret, &a);
        assert_eq!(see("2"), only_b);
        assert!(write.done(&version("2")).is_empty());
        // Somebody else wrote before, and somebody after.
        let write = world.begin_write(&secret, &a);
        assert_eq!((see("3"), see("4")), (only_b.clone(), only_b.clone()));
        assert!(write.done(&version("4")).is_empty());
        let write = world.begin_write(&secret, &a);
        assert_eq!(see("5"), only_b);
        assert_eq!(world.set_secret(secret.clone(), None), only_b);
        assert_eq!(write.done(&version("5")), only_a);
        // A write that failed hides nothing.
        let write = world.begin_write(&secret, &a);
        see("6");
        assert_eq!(write.failed(), Some(a.clone()));
        drop(world.begin_write(&secret, &a));
        assert_eq!(see("7"), [a, b]);
    }

    #[test]
    fn whoever_wants_a_secret_hears_of_it_once() {
        let world = World::default();
        world.set_bundle(bundle("a", 1, "s"));
        world.set_bundle(bundle("b", 1, "s"));
        world.set_bundle(bundle("c", 1, "t"));
        let secret = Key::new("team", "s");
        let version = |n: &str| Some(version(n));
        let both = vec![Key::new("team", "a"), Key::new("team", "b")];
        assert_eq!(world.set_secret(secret.clone(), version("1")), both);
        assert!(world.set_secret(secret.clone(), version("1")).is_empty());
        world.set_bundle(bundle("b", 2, "t"));
        assert_eq!(world.set_secret(secret.clone(), version("2")), both[..1]);
        assert_eq!(world.set_secret(secret, None), both[..1]);
        assert_eq!(
            world.remove_bundle(&Key::new("team", "b")),
            [Key::new("team", "c")]
        );
    }
}
