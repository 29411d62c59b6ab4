//! Every volume of the node, and the one way to fill them.

mod earlier;
mod fill;
mod resolve;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use envlatch_vault::Secret;
use tokio::time::{Instant, sleep, timeout_at};

use crate::class::{ClassName, Kind};
use crate::classes::Classes;
use crate::counters::Counters;
use crate::events::Events;
use crate::fetcher::{Deadlines, Fetcher};
use crate::journal::State;
use crate::pod_status;
use crate::problem::{Code, Problem};
use crate::render::File;
use crate::request::VolumeRequest;
use crate::revoker::Memory;
use crate::schedule::Schedule;
use crate::volume::{Live, Volume};
use fill::Turn;

/// How long one attempt of a first mount may take; the user hears of it after the first.
const ATTEMPT: Duration = Duration::from_secs(8);
/// How long to wait before the next attempt.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a refresh may take.
const REFRESH: Duration = Duration::from_secs(30);

/// How the source works on this node.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of the node, for events and statuses
    pub node: String,
    /// How old files may be whose class does not say
    pub refresh: Duration,
    /// How long a first mount is held while the server is away
    pub hold: Duration,
    /// Whether bundles and SecretProviderClasses need `readOnly: true`
    pub require_read_only: bool,
    /// Whether `SecretProviderClassPodStatus` is written
    pub pod_status: bool,
    /// Whether files of these names can exist together; the text says why not. Asked before a server is
    pub check_names: fn(&[&str]) -> Result<(), String>,
}

/// What became of a fetch.
#[derive(Debug)]
pub enum Fetched {
    /// Nothing was due, or nothing changed
    Unchanged,
    /// The complete set of files
    Files {
        /// In the order of the class; names are not checked yet
        files: Vec<File>,
        /// What to remember for the volume
        state: Secret,
    },
}

/// A volume that is mounted.
#[derive(Clone, Debug)]
pub struct Mounted {
    /// What was to be remembered for it last
    pub state: Option<Secret>,
    /// Whether its files are those that were written
    pub intact: bool,
    /// What was to be remembered with files that never took effect, because the plugin ended while they were written
    pub abandoned: Option<Secret>,
}

/// How far the files of all volumes can be relied on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Staleness {
    /// How long ago the server confirmed the files that it confirmed longest ago
    pub oldest: Duration,
    /// Volumes whose latest refresh failed
    pub failing: usize,
    /// The same as `oldest`, of these alone
    pub oldest_failing: Duration,
}

/// Every volume of the node.
pub struct Bundles {
    client: kube::Client,
    options: Options,
    classes: Classes,
    fetcher: Fetcher,
    events: Arc<Events>,
    volumes: Mutex<HashMap<String, Arc<Volume>>>,
    schedule: Arc<Schedule>,
}

// === impl Bundles ===

impl Bundles {
    /// Nothing is asked before the first volume, but what an earlier process owed, as `memory` knows. Must be called in a tokio
    /// runtime.
    #[must_use]
    pub fn new(client: kube::Client, options: Options, memory: Arc<dyn Memory>) -> Self {
        let schedule = Arc::<Schedule>::default();
        Self {
            classes: Classes::new(client.clone(), Arc::clone(&schedule)),
            events: Arc::new(Events::new(
                client.clone(),
                "envlatch.io/csi",
                options.node.clone(),
            )),
            fetcher: Fetcher::with_memory(memory),
            volumes: Mutex::default(),
            schedule,
            client,
            options,
        }
    }

    /// What was asked of servers so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.fetcher.counters()
    }

    /// How far the files of all volumes can be relied on.
    #[must_use]
    pub fn staleness(&self) -> Staleness {
        let volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut staleness = Staleness::default();
        for volume in volumes.values() {
            let noted = *volume
                .freshness
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let Some(noted) = noted else { continue };
            let age = noted.confirmed.elapsed();
            staleness.oldest = staleness.oldest.max(age);
            if noted.failing {
                staleness.failing += 1;
                staleness.oldest_failing = staleness.oldest_failing.max(age);
            }
        }
        staleness
    }

    /// The files of a volume that is to be mounted, or a refresh of one that is. A first mount is held while the server is away; a
    /// refresh that is not due asks nobody.
    ///
    /// # Errors
    /// Why there are no files. Events about a refresh are posted already.
    pub async fn fetch(
        &self,
        request: &VolumeRequest,
        mounted: Option<&Mounted>,
    ) -> Result<Fetched, Problem> {
        let name = ClassName::of(&request.attributes, &request.pod.namespace)?;
        self.check_read_only(&name, request)?;
        let volume = self.volume(&request.volume_id);
        let turn = Turn {
            name: &name,
            request,
            volume: &volume,
        };
        let mut live = volume.live.lock().await;
        if let Some(mounted) = mounted {
            self.abandon(&volume, mounted);
        }
        let journalled = mounted
            .and_then(|mounted| mounted.state.as_ref())
            .and_then(State::of_bytes);
        if live.state.is_none() {
            live.state = journalled;
        }
        let outcome = match mounted {
            None => self.first(&turn, &mut live).await,
            Some(mounted) => self.refresh(&turn, &mut live, mounted.intact).await,
        };
        if mounted.is_some() || outcome.is_ok() {
            self.concluded(&turn, &live);
        }
        outcome
    }

    /// Waits until what is to be revoked was tried, at most so long; what is left is for the next process.
    pub async fn flush(&self, within: Duration) {
        self.fetcher.flush(within).await;
    }

    /// Waits until a mounted volume is due, and names it: it is fetched then, whether kubelet called or not.
    pub async fn due(&self) -> String {
        self.schedule.next().await
    }

    /// The volume is gone: what was made for it is revoked. `state` is what was to be remembered for it.
    pub fn forget(&self, volume_id: &str, state: Option<&Secret>) {
        // Entries are added and removed whole, so a panic elsewhere cannot have broken the map.
        let volume = self
            .volumes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(volume_id);
        self.schedule.remove(volume_id);
        let had = volume.is_some_and(|volume| self.fetcher.forget(volume_id, &volume.logins));
        let shared = self.fetcher.shared_left_alone(volume_id);
        let Some(state) = state.and_then(State::of_bytes) else {
            return;
        };
        let own = state.private_token().filter(|_| !had);
        for token in own.into_iter().chain(shared) {
            self.revoke_earlier(&state, token);
        }
    }

    /// Files were fetched and could not be written: tells the user, and tries again as after any other failure.
    pub async fn refused(&self, request: &VolumeRequest, reason: &'static str, message: &str) {
        let problem = Problem::new(Code::ResourceExhausted, reason, message);
        let volume = self.volume(&request.volume_id);
        let mut live = volume.live.lock().await;
        self.kept_as_they_are(request, &mut live, &problem);
        if let Ok(name) = ClassName::of(&request.attributes, &request.pod.namespace) {
            let turn = Turn {
                name: &name,
                request,
                volume: &volume,
            };
            self.concluded(&turn, &live);
        }
        // What is written is what was journalled, and not this.
        live.state = None;
    }

    /// A mounted volume was looked at, however that ended.
    fn concluded(&self, turn: &Turn<'_>, live: &Live) {
        turn.volume.note(live);
        if let Some(at) = live.next(turn.volume.logins.changes()) {
            self.schedule.set(&turn.request.volume_id, turn.name, at);
        }
        if self.writes_status(turn.name) {
            let (client, events) = (self.client.clone(), Arc::clone(&self.events));
            let (node, class) = (&self.options.node, &turn.name.name);
            let owed = Arc::clone(&turn.volume.status);
            pod_status::write(client, events, node, turn.request, class, owed);
        }
    }

    fn writes_status(&self, name: &ClassName) -> bool {
        self.options.pod_status && name.kind == Kind::SecretProviderClass
    }

    fn kept_as_they_are(&self, request: &VolumeRequest, live: &mut Live, problem: &Problem) {
        self.fetcher
            .counters()
            .stale
            .fetch_add(1, Ordering::Relaxed);
        live.failed(&request.volume_id, self.options.refresh);
        self.events
            .warn(&request.pod, "the files are kept as they are", problem);
    }

    async fn refresh(
        &self,
        turn: &Turn<'_>,
        live: &mut Live,
        intact: bool,
    ) -> Result<Fetched, Problem> {
        let deadlines = Deadlines::same(Instant::now() + REFRESH);
        let outcome = self.fill(turn, live, Some(intact), deadlines).await;
        outcome.inspect_err(|problem| self.kept_as_they_are(turn.request, live, problem))
    }

    async fn first(&self, turn: &Turn<'_>, live: &mut Live) -> Result<Fetched, Problem> {
        let end = Instant::now() + self.options.hold;
        live.state = None;
        loop {
            let problem = match self.attempt(turn, live, end).await {
                Err(problem) if problem.is_transient() => problem,
                other => return other,
            };
            self.not_yet(turn, &problem);
            let is_of_cluster = matches!(problem.reason, "ClassUnread" | "StoreUnread");
            if is_of_cluster || Instant::now() + PAUSE >= end {
                return Err(problem);
            }
            sleep(PAUSE).await;
        }
    }

    /// One attempt of a first mount. Only what issues a credential may take longer than others; the user hears of that.
    async fn attempt(
        &self,
        turn: &Turn<'_>,
        live: &mut Live,
        end: Instant,
    ) -> Result<Fetched, Problem> {
        let deadlines = Deadlines {
            repeatable: end.min(Instant::now() + ATTEMPT),
            issuing: end,
        };
        let mut filling = pin!(self.fill(turn, live, None, deadlines));
        let tell = deadlines.repeatable + PAUSE;
        if let Ok(outcome) = timeout_at(tell, &mut filling).await {
            return outcome;
        }
        let text = "the server has not answered yet; what issues a credential is waited for, see the server's log if that takes long";
        self.not_yet(turn, &Problem::new(Code::Unavailable, "VaultSlow", text));
        filling.await
    }

    fn not_yet(&self, turn: &Turn<'_>, problem: &Problem) {
        let prefix = "the volume cannot be mounted yet, still trying";
        self.events.warn(&turn.request.pod, prefix, problem);
    }

    fn check_names<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
        (self.options.check_names)(&names.collect::<Vec<_>>()).map_err(Problem::invalid)
    }

    fn check_read_only(&self, name: &ClassName, request: &VolumeRequest) -> Result<(), Problem> {
        let needed = self.options.require_read_only && name.kind != Kind::SecretsStoreImport;
        if needed && !request.read_only {
            return Err(Problem::invalid(
                "the volume is not read-only; set readOnly: true beside its csi driver",
            ));
        }
        Ok(())
    }

    fn volume(&self, volume_id: &str) -> Arc<Volume> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(volumes.entry(volume_id.to_owned()).or_default())
    }
}
