//! The operator while it leads: what it knows, what it remembers of each bundle, and the workers.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use envlatch_api::{SecretBundle, VaultStore};
use envlatch_bundle::{Events, Fetcher};
use envlatch_vault::Secret;
use kube::{Client, ResourceExt};
use tokio::time::{Instant, sleep};

use crate::gate::Gates;
use crate::hash::Hasher;
use crate::identity::Tokens;
use crate::item::{self, Item};
use crate::metrics::Metrics;
use crate::queue::{Class, Queue};
use crate::restart::Restarts;
use crate::seal::Sealer;
use crate::settings::Settings;
use crate::shards::Shards;
use crate::tracked::Tracked;
use crate::world::{Key, World};

/// How long the bundles of a store that has changed take to be looked at.
const SPREAD: Duration = Duration::from_secs(10);

/// How often it is looked whether a turn is over.
const LOOK: Duration = Duration::from_millis(50);

/// Everything that the work needs.
pub(crate) struct Operator {
    pub(crate) client: Client,
    pub(crate) hasher: Hasher,
    pub(crate) sealer: Sealer,
    pub(crate) fetcher: Fetcher,
    pub(crate) tokens: Tokens,
    pub(crate) gates: Gates,
    pub(crate) events: Events,
    pub(crate) metrics: Metrics,
    pub(crate) restarts: Restarts,
    pub(crate) world: World,
    pub(crate) queue: Queue<Key>,
    pub(crate) shards: Arc<Shards>,
    /// How long a deleted bundle stays while nothing can be revoked
    pub(crate) revoke_within: Duration,
    tracked: Mutex<HashMap<Key, Arc<Tracked>>>,
}

// === impl Operator ===

impl Operator {
    /// Must be called in a tokio runtime.
    pub(crate) fn new(
        client: Client,
        key: &Secret,
        shards: Arc<Shards>,
        metrics: Metrics,
        settings: &Settings,
    ) -> Self {
        Self {
            fetcher: Fetcher::start(),
            tokens: Tokens::new(client.clone()),
            gates: Gates::default(),
            events: Events::new(
                client.clone(),
                "envlatch.io/operator",
                settings.instance.clone(),
            ),
            restarts: Restarts::default(),
            world: World::default(),
            queue: Queue::new(usize::from(settings.workers)),
            shards,
            revoke_within: settings.revoke_within,
            tracked: Mutex::default(),
            hasher: Hasher::new(key.expose()),
            sealer: Sealer::new(key.expose()),
            client,
            metrics,
        }
    }

    /// Starts the workers.
    pub(crate) fn work(self: &Arc<Self>, workers: u16) {
        for _ in 0..workers {
            let operator = Arc::clone(self);
            tokio::spawn(async move {
                loop {
                    let (key, class) = operator.queue.next().await;
                    let turn = Arc::clone(&operator);
                    let own = key.clone();
                    // A task of its own, so that a bug in one turn ends neither the worker nor the bundle's place in the queue.
                    let turn = tokio::spawn(async move { turn.turn(&own).await });
                    if turn.await.is_err() {
                        operator.want(
                            key.clone(),
                            Class::Timer,
                            Instant::now() + Duration::from_secs(60),
                        );
                    }
                    operator.queue.done(&key, class);
                }
            });
        }
        let operator = Arc::clone(self);
        tokio::spawn(async move { operator.restart_workloads().await });
    }

    /// A bundle is new or has changed.
    pub(crate) fn saw(&self, bundle: impl Into<Item>) {
        let bundle = bundle.into();
        let key = Key::of(&*bundle);
        if self.world.set_bundle(bundle) {
            self.want(key, Class::Change, Instant::now());
        }
    }

    /// Puts a bundle into the queue, if it is this replica's.
    pub(crate) fn want(&self, key: Key, class: Class, at: Instant) {
        if self.shards.has(&key) {
            self.queue.add(key, class, at);
        }
    }

    /// Works on the bundles of a shard from now on.
    pub(crate) fn begin(&self, shard: u16) {
        for key in self.keys_of(shard) {
            self.want(key, Class::Change, Instant::now());
        }
    }

    /// Forgets the bundles of a shard after the last turn of one. What was issued for them lives on for the replica that gets them.
    pub(crate) async fn leave(&self, shard: u16) {
        while self.queue.is_running(|key| self.shards.of(key) == shard) {
            sleep(LOOK).await;
        }
        for key in self.keys_of(shard) {
            self.queue.forget(&key);
            if let Some(tracked) = self.all_tracked().remove(&key) {
                self.fetcher.leave(&tracked.uid);
            }
        }
    }

    /// A bundle is gone.
    pub(crate) fn lost(&self, key: &Key) {
        self.queue.forget(key);
        if let Some(tracked) = self.all_tracked().remove(key) {
            self.fetcher.forget(&tracked.uid, &tracked.logins);
        }
        // Whoever wanted the same Secret may have it now.
        for other in self.world.remove_bundle(key) {
            self.want(other, Class::Change, Instant::now());
        }
    }

    /// The stores are these now. Bundles of one that has changed are looked at, a few at a time.
    pub(crate) fn stores_changed(&self, stores: Vec<VaultStore>) {
        let version =
            |store: &VaultStore| (store.name_any(), store.uid(), store.metadata.generation);
        let before: Vec<_> = self.world.stores().iter().map(version).collect();
        let after: Vec<_> = stores.iter().map(version).collect();
        let default_before = self.world.stores().iter().any(|store| store.spec.default);
        self.world.set_stores(stores);
        if before == after {
            return;
        }
        let same = |name: &String| {
            let of = |versions: &[(String, _, _)]| {
                versions.iter().find(|(own, _, _)| own == name).cloned()
            };
            of(&before) == of(&after)
        };
        let now = Instant::now();
        for key in self.world.keys() {
            let Some(bundle) = self.world.bundle(&key) else {
                continue;
            };
            let concerned = match &bundle.spec.store {
                Some(name) => !same(name),
                None => true,
            };
            if concerned {
                let spread = if default_before {
                    crate::schedule::phase(&bundle.uid().unwrap_or_default(), SPREAD)
                } else {
                    Duration::ZERO
                };
                self.want(key, Class::Change, now + spread);
            }
        }
    }

    /// What is remembered of a bundle.
    pub(crate) fn tracked(&self, key: &Key, uid: &str) -> Arc<Tracked> {
        let mut all = self.all_tracked();
        if let Some(tracked) = all.get(key) {
            if tracked.uid == uid {
                return Arc::clone(tracked);
            }
            self.fetcher.forget(&tracked.uid, &tracked.logins);
        }
        let tracked = Arc::new(Tracked::new(uid));
        all.insert(key.clone(), Arc::clone(&tracked));
        tracked
    }

    /// How many bundles failed last.
    pub(crate) fn failing(&self) -> usize {
        self.all_tracked()
            .values()
            .filter(|tracked| tracked.is_failing())
            .count()
    }

    /// How long ago the server confirmed the content of the bundle that waits for it longest.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.all_tracked()
            .values()
            .map(|tracked| tracked.age())
            .max()
    }

    /// When the first of the leases and certificates ends unless it is renewed or replaced.
    pub(crate) fn first_end(&self) -> Option<SystemTime> {
        let all = self.all_tracked();
        let issued = all.values().flat_map(|tracked| tracked.logins.issued());
        issued.map(|issued| issued.expires).min()
    }

    /// Tells the user about a bundle.
    pub(crate) fn tell(&self, bundle: &SecretBundle, type_: &str, reason: &str, note: &str) {
        self.events.post(&item::about(bundle), type_, reason, note);
    }

    /// How many bundles are this replica's.
    pub(crate) fn bundles(&self) -> usize {
        self.world.count(|key| self.shards.has(key))
    }

    fn keys_of(&self, shard: u16) -> Vec<Key> {
        let mut keys = self.world.keys();
        keys.retain(|key| self.shards.of(key) == shard);
        keys
    }

    async fn restart_workloads(&self) {
        loop {
            let next = self.restarts.work(self).await;
            sleep(next).await;
        }
    }

    fn all_tracked(&self) -> MutexGuard<'_, HashMap<Key, Arc<Tracked>>> {
        // Entries are added and removed whole, so a panic elsewhere cannot have broken the map.
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}
