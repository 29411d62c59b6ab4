//! One turn of one bundle: from what it says to a Secret that holds it.
//!
//! Nothing is deleted or emptied because of a failure: the Secret stays as it was, and the status says why. A turn that finds
//! everything in place asks nobody and writes nothing.

mod finish;
mod handed_over;
mod login;
mod place;
mod report;

use std::time::Duration;

use envlatch_api::{LeaseRecord, SecretBundle, SecretBundleStatus, SyncSpec, VaultStore};
use envlatch_bundle::{Access, Code, Gathered, Holder, Plan, Problem, Urgency, choose, grant};
use kube::ResourceExt;
use tokio::time::Instant;

use crate::content::{Data, check_metadata};
use crate::hash::parts;
use crate::item::Item;
use crate::operator::Operator;
use crate::ownership::Claimant;
use crate::queue::Class;
use crate::schedule::{jittered, phase};
use crate::status::{self, records};
use crate::tracked::{Applied, Live, Tracked, Wish};
use crate::world::{Key, secret_of};
use crate::write::{self, api_problem};

pub(crate) use finish::{FINALIZER, set_finalizers};
use place::Place;

/// How long the server has for one turn.
const FETCH: Duration = Duration::from_secs(10);
/// What is added to the time of a renewal, so that its outcome is seen.
const SETTLE: Duration = Duration::from_secs(2);
/// How soon it is looked again whether this replica may work.
const AGAIN: Duration = Duration::from_secs(1);
/// Those who wait for a store do not all come at once.
const SPREAD: Duration = Duration::from_secs(3);

/// A bundle whose turn it is.
pub(crate) struct Turn<'a> {
    operator: &'a Operator,
    key: &'a Key,
    item: &'a Item,
    bundle: &'a SecretBundle,
    sync: &'a SyncSpec,
    tracked: &'a Tracked,
    uid: String,
    secret: Key,
}

/// Why a turn led to nothing, and when the next one is.
struct Failed {
    problem: Problem,
    /// Given when not the bundle failed but its store
    again: Option<Instant>,
}

// === impl Operator ===

impl Operator {
    /// Works on one bundle.
    pub(crate) async fn turn(&self, key: &Key) {
        if !self.shards.may_work_on(key) {
            self.want(key.clone(), Class::Timer, Instant::now() + AGAIN);
            return;
        }
        let Some(bundle) = self.world.bundle(key) else {
            return;
        };
        let uid = bundle.uid().unwrap_or_default();
        let tracked = self.tracked(key, &uid);
        let mut live = tracked.live.lock().await;
        let Some(bundle) = self.up_to_date(key, bundle, &live).await else {
            return;
        };
        if bundle.metadata.deletion_timestamp.is_some() {
            self.finish(key, &bundle, &tracked, &mut live).await;
            return;
        }
        if !self.world.has_listed(&key.namespace) {
            // It would look as if somebody had deleted them all. Whoever may list them again wakes their bundles.
            return;
        }
        let (Some(sync), Some(secret)) = (&bundle.spec.sync, secret_of(&bundle)) else {
            return;
        };
        let turn = Turn {
            operator: self,
            key,
            item: &bundle,
            bundle: &bundle,
            sync,
            tracked: &tracked,
            uid,
            secret,
        };
        let began = Instant::now();
        let outcome = turn.run(&mut live).await;
        let reason = outcome
            .as_ref()
            .err()
            .map_or("Synced", |failed| failed.problem.reason);
        self.metrics.turned(reason, began.elapsed());
        turn.conclude(&mut live, outcome).await;
    }
}

// === impl Turn ===

impl Turn<'_> {
    async fn run(&self, live: &mut Live) -> Result<(), Failed> {
        check_metadata(self.sync)?;
        let plan = self.item.plan(self.sync)?;
        let (store, access) = self.access(&plan)?;
        let wish = Wish::of(self.bundle, &access.store_version);
        let place = self.place(live, &wish, &access, &plan).await?;
        if place == Place::Right {
            return Ok(());
        }
        // Only somebody new may get what another bundle read a moment ago: whoever asks again wants to know what is there now.
        let urgency = match place {
            Place::New => Urgency::FirstMount,
            _ => Urgency::Refresh,
        };
        let gathered = self.gather(live, &store, &plan, &access, urgency).await?;
        let outcome = self.deliver(live, &plan, wish, place, &gathered).await;
        match outcome {
            Ok(()) => {
                self.operator.fetcher.keep(&gathered, &self.tracked.logins);
                live.replace = None;
                self.schedule_refresh(live, &plan);
                Ok(())
            }
            Err((problem, journalled)) => {
                if journalled {
                    // Issued once, it is written as soon as that is possible; the credential before it stays valid until then.
                    live.pending = Some((self.bundle.metadata.generation, gathered));
                } else {
                    self.operator
                        .fetcher
                        .give_up(&gathered, &self.tracked.logins);
                }
                Err(problem.into())
            }
        }
    }

    /// The store, and what it grants.
    fn access(&self, plan: &Plan) -> Result<(VaultStore, Access), Problem> {
        let stores = self.operator.world.stores();
        let store = choose(&plan.claim, &stores)?;
        let access = grant(&plan.claim, store, &self.key.namespace)?;
        Ok((store.clone(), access))
    }

    /// What the server has, or what it gave in a turn that could not be ended.
    async fn gather(
        &self,
        live: &mut Live,
        store: &VaultStore,
        plan: &Plan,
        access: &Access,
        urgency: Urgency,
    ) -> Result<Gathered, Failed> {
        let (operator, logins) = (self.operator, &self.tracked.logins);
        if let Some((generation, gathered)) = live.pending.take() {
            let now = std::time::SystemTime::now();
            let lives = gathered.issued().iter().all(|issued| issued.expires > now);
            if generation == self.bundle.metadata.generation && lives {
                return Ok(gathered);
            }
            operator.fetcher.give_up(&gathered, logins);
        }
        let name = store.name_any();
        let closed = |(until, problem)| Failed {
            problem,
            again: Some(until + phase(&self.uid, SPREAD)),
        };
        operator.gates.check(&name).map_err(closed)?;
        let token = operator
            .tokens
            .token(&self.key.namespace, &self.sync.service_account, access)
            .await?;
        let holder = Holder {
            id: &self.uid,
            namespace: &self.key.namespace,
            service_account: &self.sync.service_account,
            token: &token,
        };
        let deadline = Instant::now() + FETCH;
        let outcome = operator
            .fetcher
            .fetch(plan, access, &holder, logins, urgency, deadline)
            .await;
        match outcome {
            Ok(gathered) => {
                operator.gates.open(&name);
                Ok(gathered)
            }
            Err(problem) => match operator.gates.failed(&name, &problem) {
                Some(of_store) => Err(closed(of_store)),
                None if problem.is_transient() => Err(problem.into()),
                None => {
                    operator.gates.open(&name);
                    Err(problem.into())
                }
            },
        }
    }

    /// Writes what was gathered, unless it is there already. An error says whether something that was issued is journalled.
    async fn deliver(
        &self,
        live: &mut Live,
        plan: &Plan,
        wish: Wish,
        place: Place,
        gathered: &Gathered,
    ) -> Result<(), (Problem, bool)> {
        let early = |problem| (problem, false);
        let data = gathered
            .files(plan)
            .and_then(|files| self.item.content(self.sync, files))
            .map_err(early)?;
        let hash = self.operator.hasher.hash(&self.sync.type_, parts(&data));
        if let Some(applied) = &mut live.applied
            && place == Place::Old
            && applied.hash == hash
            && applied.wish.generation == wish.generation
        {
            applied.wish = wish;
            return Ok(());
        }
        self.item.check_issued(&gathered.issued()).map_err(early)?;
        if !self.operator.shards.may_work_on(self.key) {
            let text = "another replica works on the bundle now";
            return Err(early(Problem::new(Code::Unavailable, "LeaseLost", text)));
        }
        let journalled = self.journal(live, gathered, &hash).await.map_err(early)?;
        let version = self
            .write(&data)
            .await
            .map_err(|problem| (problem, journalled))?;
        self.note_restart(live, &hash);
        if place == Place::Wrong {
            self.operator.metrics.restored.inc();
        }
        live.applied = Some(Applied {
            wish,
            name: self.sync.secret_name.clone(),
            uid: version.uid,
            hash,
            resource_version: version.resource_version,
        });
        Ok(())
    }

    async fn write(&self, data: &Data) -> Result<write::Version, Problem> {
        let operator = self.operator;
        let claimant = Claimant {
            name: &self.key.name,
            uid: &self.uid,
            sync: self.sync,
        };
        let wake = |bundle| operator.want(bundle, Class::Change, Instant::now());
        let exists = operator.world.secret(&self.secret).is_some();
        let write = operator.world.begin_write(&self.secret, self.key);
        let lives = |uid: &str| operator.world.lives(&self.key.namespace, uid);
        let written = write::write(
            &operator.client,
            self.bundle,
            &claimant,
            data,
            exists,
            lives,
        )
        .await;
        let written = match written {
            Ok(written) => written,
            Err(problem) => {
                write.failed().into_iter().for_each(wake);
                return Err(problem);
            }
        };
        operator.metrics.writes.inc();
        if !written.dropped.is_empty() {
            let note = format!(
                "Secret {} has no {} any more",
                self.sync.secret_name,
                written.dropped.join(", ")
            );
            operator.tell(self.bundle, "Normal", "KeysRemoved", &note);
        }
        let version = written.version;
        write.done(&version).into_iter().for_each(wake);
        Ok(version)
    }

    /// Writes down what was issued, and the login behind it, before anybody can use it, and makes sure that it is revoked when the
    /// bundle is deleted. Returns whether there was anything new.
    async fn journal(
        &self,
        live: &mut Live,
        gathered: &Gathered,
        hash: &str,
    ) -> Result<bool, Problem> {
        let mut status = live
            .status
            .clone()
            .or_else(|| self.bundle.status.clone())
            .unwrap_or_default();
        let issued = gathered.issued();
        let new = records(&issued, hash, &[]);
        let is_known = |record: &LeaseRecord| status.leases.iter().any(|one| one.id == record.id);
        if new.is_empty() || !gathered.is_fresh() && new.iter().all(is_known) {
            return Ok(false);
        }
        if issued.iter().any(|one| one.lease.is_some()) {
            self.add_finalizer().await?;
        }
        status
            .leases
            .retain(|lease| new.iter().all(|other| other.id != lease.id));
        status.leases.extend(new);
        status.login = gathered.login().map(|login| self.sealed(&login));
        self.write_status(live, status).await?;
        Ok(true)
    }

    async fn write_status(
        &self,
        live: &mut Live,
        status: SecretBundleStatus,
    ) -> Result<(), Problem> {
        if self.item.has_status() {
            let written = status::write(&self.operator.client, self.bundle, &status).await;
            written.map_err(|error| api_problem("the bundle's status", error))?;
            self.operator.metrics.statuses.inc();
        }
        live.status = Some(status);
        Ok(())
    }

    /// A content that replaced another one restarts those who read it once.
    fn note_restart(&self, live: &Live, hash: &str) {
        let changed = live
            .applied
            .as_ref()
            .is_some_and(|applied| applied.hash != hash);
        if changed && !self.sync.restart.is_empty() {
            self.operator
                .restarts
                .want(self.bundle, &self.sync.restart, &self.uid, hash);
        }
    }

    fn schedule_refresh(&self, live: &mut Live, plan: &Plan) {
        self.tracked.confirm();
        let interval = plan.refresh.unwrap_or(Duration::from_secs(300));
        live.refresh = Some(Instant::now() + jittered(&self.uid, interval));
    }
}

// === impl Failed ===

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            again: None,
        }
    }
}

/// The API server could not be read.
fn unread(what: &str, error: kube::Error) -> Problem {
    let problem = api_problem(what, error);
    Problem {
        code: Code::Unavailable,
        ..problem
    }
}
