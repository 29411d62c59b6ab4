//! Which bundles this replica works on: those of the shards whose Leases it holds. With one shard that is leader election.
//!
//! A bundle belongs to a shard by a stable hash of its name. A replica that cannot keep a Lease in time ends, with everything that is
//! under way, so that two never work on one bundle; it gives a shard away only after the last turn of its bundles. Replicas that
//! disagree about the number of shards, as while that is being changed, do not work at the same time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, Error, ResourceExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::balance::{Step, View, steps};
use crate::lease::{self, Seen, holder, shard, wanted_by};
use crate::schedule::hashed;
use crate::world::Key;

/// The shards of this replica, and how it gets and gives them.
pub(crate) struct Shards {
    api: Api<Lease>,
    identity: String,
    duration: Duration,
    count: u16,
    held: Mutex<BTreeMap<u16, Held>>,
    changed: Notify,
}

#[derive(Clone, Debug)]
struct Held {
    /// When the last renewal that succeeded was sent
    renewed: Instant,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Its bundles are not worked on yet
    Taken,
    /// They are; `late` when another replica may have worked on them a moment ago
    Working { late: bool },
    /// They are not any more, but for what is under way; then this replica gets it
    Leaving(String),
    /// Nothing is under way
    Left(String),
}

/// Why a round of keeping Leases failed.
enum Failed {
    /// Somebody else has a shard that is worked on here
    Lost,
    Api(Error),
}

// === impl Shards ===

impl Shards {
    pub(crate) fn new(
        client: Client,
        namespace: &str,
        identity: &str,
        duration: Duration,
        count: u16,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            duration,
            count,
            held: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The shard that a bundle belongs to.
    pub(crate) fn of(&self, key: &Key) -> u16 {
        // As the key is shown, which would have to be allocated for each of them whenever they are counted.
        let name = key.namespace.bytes().chain([b'/']).chain(key.name.bytes());
        let shard = hashed(name) % u32::from(self.count);
        u16::try_from(shard).expect("it is below the count, which fits")
    }

    /// Whether the bundle is this replica's.
    pub(crate) fn has(&self, key: &Key) -> bool {
        let held = self.held();
        held.get(&self.of(key))
            .is_some_and(|held| matches!(held.stage, Stage::Working { .. }))
    }

    /// Whether a turn of the bundle may begin now: while a renewal is late, another replica may be about to take over.
    pub(crate) fn may_work_on(&self, key: &Key) -> bool {
        let held = self.held();
        let held = held.get(&self.of(key));
        held.is_some_and(|held| {
            matches!(held.stage, Stage::Working { .. })
                && held.renewed + self.limit() > Instant::now()
        })
    }

    /// Whether another replica may have worked on the bundle since this one listed what there is.
    pub(crate) fn is_late(&self, key: &Key) -> bool {
        let held = self.held();
        held.get(&self.of(key))
            .is_some_and(|held| held.stage == Stage::Working { late: true })
    }

    /// How many shards are worked on.
    pub(crate) fn working(&self) -> usize {
        let held = self.held();
        let working = held
            .values()
            .filter(|held| matches!(held.stage, Stage::Working { .. }));
        working.count()
    }

    /// Waits until there is a shard to work on.
    pub(crate) async fn any(&self) {
        while self.held().is_empty() {
            self.changed.notified().await;
        }
    }

    /// Waits until shards were taken or are to be left.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Shards whose bundles are not worked on yet.
    pub(crate) fn taken(&self) -> Vec<u16> {
        self.those(|stage| *stage == Stage::Taken)
    }

    /// Shards that are to be left.
    pub(crate) fn leaving(&self) -> Vec<u16> {
        self.those(|stage| matches!(stage, Stage::Leaving(_)))
    }

    /// The bundles of `shard` are worked on from now on.
    pub(crate) fn work(&self, shard: u16, late: bool) {
        if let Some(held) = self.held().get_mut(&shard)
            && held.stage == Stage::Taken
        {
            held.stage = Stage::Working { late };
            tracing::info!(
                "leading shard {shard} of {} as {}",
                self.count,
                self.identity
            );
        }
    }

    /// Nothing of `shard` is under way any more.
    pub(crate) fn left(&self, shard: u16) {
        if let Some(held) = self.held().get_mut(&shard)
            && let Stage::Leaving(to) = held.stage.clone()
        {
            held.stage = Stage::Left(to);
        }
    }

    /// Takes, keeps and gives Leases; returns when one was lost or could not be kept in time.
    pub(crate) async fn keep(&self) {
        let mut seen = HashMap::new();
        loop {
            let deadline = self.deadline(self.duration / 3);
            match timeout_at(deadline, self.round(&mut seen)).await {
                Ok(Ok(())) => {}
                Ok(Err(Failed::Lost)) => return,
                Ok(Err(Failed::Api(error))) => tracing::warn!("cannot keep the Leases: {error}"),
                Err(_elapsed) => {
                    tracing::warn!("cannot keep the Leases: the API server does not answer");
                }
            }
            sleep_until(self.deadline(self.duration / 6)).await;
            if self.ends().is_some_and(|ends| ends <= Instant::now()) {
                return;
            }
        }
    }

    /// Gives every Lease back, so that other replicas need not wait for their end.
    pub(crate) async fn release(&self) {
        let Ok(leases) = self.list().await else {
            return;
        };
        self.held().clear();
        for lease in leases
            .iter()
            .filter(|lease| holder(lease) == Some(&self.identity))
        {
            // When it fails, the Lease ends by itself.
            drop(self.replace(&lease::released(lease)).await);
        }
    }

    async fn round(&self, seen: &mut HashMap<String, Seen>) -> Result<(), Failed> {
        let leases = self.list().await.map_err(Failed::Api)?;
        self.look(&leases, seen);
        self.check_held(&leases)?;
        let by_shard = |wanted: u16| leases.iter().find(|lease| shard(lease) == Some(wanted));
        let held = self.held().clone();
        for (shard, held) in &held {
            self.keep_one(*shard, held, by_shard(*shard))
                .await
                .map_err(Failed::Api)?;
        }
        if self.others_disagree(&leases, seen) {
            return Ok(());
        }
        for (shard, step) in steps(&self.identity, &self.views(&leases, seen)) {
            self.step(shard, step, by_shard(shard), seen)
                .await
                .map_err(Failed::Api)?;
        }
        Ok(())
    }

    async fn keep_one(&self, shard: u16, held: &Held, lease: Option<&Lease>) -> Result<(), Error> {
        let holder = match &held.stage {
            Stage::Left(to) => to,
            _ => &self.identity,
        };
        let sent = Instant::now();
        let kept = lease::kept(lease, shard, self.count, holder, self.duration);
        // Somebody wished for it meanwhile: it is kept in the next round.
        if !self.replace(&kept).await? {
            return Ok(());
        }
        let mut all = self.held();
        if matches!(held.stage, Stage::Left(_)) {
            all.remove(&shard);
        } else if let Some(held) = all.get_mut(&shard) {
            held.renewed = sent;
        }
        Ok(())
    }

    async fn step(
        &self,
        shard: u16,
        step: Step,
        lease: Option<&Lease>,
        seen: &mut HashMap<String, Seen>,
    ) -> Result<(), Error> {
        match (step, lease) {
            (Step::Take, lease) => self.take(shard, lease, seen).await?,
            (Step::Give(to), _) => self.give(shard, to),
            (Step::Wish, Some(lease)) => {
                // Whoever was faster changed what the wish was judged by; the next round tells.
                self.replace(&lease::wanted(lease, &self.identity)).await?;
            }
            (Step::Wish, None) => {}
        }
        Ok(())
    }

    async fn take(
        &self,
        shard: u16,
        lease: Option<&Lease>,
        seen: &mut HashMap<String, Seen>,
    ) -> Result<(), Error> {
        let sent = Instant::now();
        let wanted = lease::kept(lease, shard, self.count, &self.identity, self.duration);
        let taken = match lease {
            Some(_) => self.replace(&wanted).await?,
            None => unless_conflict(
                self.api
                    .create(&PostParams::default(), &wanted)
                    .await
                    .map(drop),
            )?,
        };
        if !taken {
            return Ok(());
        }
        // Somebody who divides the work otherwise may have taken a shard of his at the same moment. One of both sees the other.
        let leases = self.list().await?;
        self.look(&leases, seen);
        if self.others_disagree(&leases, seen) {
            let own = leases.iter().find(|one| lease::shard(one) == Some(shard));
            if let Some(own) = own.filter(|own| holder(own) == Some(&self.identity)) {
                self.replace(&lease::released(own)).await?;
            }
            return Ok(());
        }
        let held = Held {
            renewed: sent,
            stage: Stage::Taken,
        };
        self.held().insert(shard, held);
        self.changed.notify_one();
        Ok(())
    }

    fn give(&self, shard: u16, to: String) {
        if let Some(held) = self.held().get_mut(&shard) {
            match held.stage {
                Stage::Taken => held.stage = Stage::Left(to),
                Stage::Working { .. } => held.stage = Stage::Leaving(to),
                Stage::Leaving(_) | Stage::Left(_) => {}
            }
        }
        self.changed.notify_one();
    }

    /// Remembers since when the Leases of others were not renewed.
    fn look(&self, leases: &[Lease], seen: &mut HashMap<String, Seen>) {
        for lease in leases {
            let name = lease.name_any();
            let after = Seen::after(seen.remove(&name), lease);
            seen.insert(name, after);
        }
    }

    /// Whether every shard that is worked on is still ours.
    fn check_held(&self, leases: &[Lease]) -> Result<(), Failed> {
        let mut held = self.held();
        let is_ours = |wanted: u16| {
            let lease = leases.iter().find(|lease| shard(lease) == Some(wanted));
            lease.and_then(holder) == Some(&self.identity)
        };
        held.retain(|shard, held| !matches!(held.stage, Stage::Left(_)) || is_ours(*shard));
        if held.keys().all(|shard| is_ours(*shard)) {
            Ok(())
        } else {
            Err(Failed::Lost)
        }
    }

    /// Whether a replica that lives divides the work into another number of shards.
    fn others_disagree(&self, leases: &[Lease], seen: &HashMap<String, Seen>) -> bool {
        let mut others = leases
            .iter()
            .filter(|lease| self.is_theirs(lease, seen) && lease::count(lease) != Some(self.count));
        let Some(other) = others.next() else {
            return false;
        };
        tracing::debug!(
            "{} works with another number of shards; give every replica the same --shards",
            holder(other).unwrap_or_default()
        );
        true
    }

    /// Whether somebody else holds the Lease and still renews it.
    fn is_theirs(&self, lease: &Lease, seen: &HashMap<String, Seen>) -> bool {
        let seen = seen.get(&lease.name_any());
        let has_ended = seen.is_some_and(|seen| seen.has_ended(lease, self.duration));
        holder(lease).is_some_and(|holder| holder != self.identity) && !has_ended
    }

    fn views(&self, leases: &[Lease], seen: &HashMap<String, Seen>) -> BTreeMap<u16, View> {
        let held = self.held();
        let view = |wanted: u16| {
            let lease = leases.iter().find(|lease| shard(lease) == Some(wanted));
            let wanted_by = lease.and_then(wanted_by).map(str::to_owned);
            match lease {
                _ if held.contains_key(&wanted) => View::Mine { wanted_by },
                Some(lease) if self.is_theirs(lease, seen) => View::Theirs {
                    holder: holder(lease).unwrap_or_default().to_owned(),
                    wanted_by,
                },
                // One in our name that is not held was an earlier process's.
                _ => View::Free,
            }
        };
        (0..self.count).map(|shard| (shard, view(shard))).collect()
    }

    async fn list(&self) -> Result<Vec<Lease>, Error> {
        let parameters = ListParams::default().labels(lease::SHARD);
        Ok(self.api.list(&parameters).await?.items)
    }

    /// Returns whether nobody was faster.
    async fn replace(&self, lease: &Lease) -> Result<bool, Error> {
        let replaced = self
            .api
            .replace(&lease.name_any(), &PostParams::default(), lease)
            .await;
        unless_conflict(replaced.map(drop))
    }

    /// How long a Lease is relied on that could not be renewed. Others wait for all of its time.
    fn limit(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// When the first of the Leases is not relied on any more.
    fn ends(&self) -> Option<Instant> {
        let held = self.held();
        let held = held
            .values()
            .filter(|held| !matches!(held.stage, Stage::Left(_)));
        held.map(|held| held.renewed + self.limit()).min()
    }

    /// `within` from now on, and not after a Lease's end.
    fn deadline(&self, within: Duration) -> Instant {
        let then = Instant::now() + within;
        self.ends().map_or(then, |ends| ends.min(then))
    }

    fn those(&self, stage: impl Fn(&Stage) -> bool) -> Vec<u16> {
        let held = self.held();
        let those = held.iter().filter(|(_, held)| stage(&held.stage));
        those.map(|(shard, _)| *shard).collect()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u16, Held>> {
        // Entries are changed one at a time, so a panic elsewhere cannot have broken the map.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unless_conflict(outcome: Result<(), Error>) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
