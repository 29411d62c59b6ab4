//! Every volume of the node, and the one way to fill them.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use envlatch_api::VaultStore;
use envlatch_vault::{Auth, Secret, Session};
use tokio::time::{Instant, sleep};

use crate::class::{Class, ClassName, Kind};
use crate::classes::Classes;
use crate::events::Events;
use crate::fetcher::{Fetcher, identity};
use crate::follow::Latest;
use crate::holder::Holder;
use crate::journal::State;
use crate::limit::Urgency;
use crate::plan::Plan;
use crate::pod_status;
use crate::problem::{Code, Problem};
use crate::render::File;
use crate::request::VolumeRequest;
use crate::server::Counters;
use crate::store::{choose, grant};
use crate::volume::{Live, Volume};

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

/// Every volume of the node.
pub struct Bundles {
    client: kube::Client,
    options: Options,
    classes: Classes,
    fetcher: Fetcher,
    events: Events,
    volumes: Mutex<HashMap<String, Arc<Volume>>>,
}

/// A volume's class as it is now, and the store that it resolves to.
struct Target {
    class: Class,
    store: VaultStore,
    plan: Plan,
}

// === impl Bundles ===

impl Bundles {
    /// Nothing is asked before the first volume. Must be called in a tokio runtime.
    #[must_use]
    pub fn new(client: kube::Client, options: Options) -> Self {
        Self {
            classes: Classes::new(client.clone()),
            events: Events::new(client.clone(), "envlatch.io/csi", options.node.clone()),
            fetcher: Fetcher::start(),
            volumes: Mutex::default(),
            client,
            options,
        }
    }

    /// What was asked of servers so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.fetcher.counters()
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
        match mounted {
            None => self.first(&name, request, &volume, &mut live).await,
            Some(mounted) => {
                let outcome = self
                    .fill(
                        &name,
                        request,
                        &volume,
                        &mut live,
                        Some(mounted.intact),
                        Instant::now() + REFRESH,
                    )
                    .await;
                if let Err(problem) = &outcome {
                    self.fetcher
                        .counters()
                        .stale
                        .fetch_add(1, Ordering::Relaxed);
                    live.failed(self.options.refresh);
                    self.events
                        .warn(&request.pod, "the files are kept as they are", problem);
                }
                outcome
            }
        }
    }

    /// The volume is gone: what was made for it is revoked. `state` is what was to be remembered for it.
    pub fn forget(&self, volume_id: &str, state: Option<&Secret>) {
        // Entries are added and removed whole, so a panic elsewhere cannot have broken the map.
        let volume = self
            .volumes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(volume_id);
        let had = volume.is_some_and(|volume| self.fetcher.forget(volume_id, &volume.logins));
        if !had
            && let Some(session) = state
                .and_then(State::of_bytes)
                .and_then(|state| self.journalled_session(&state))
        {
            self.fetcher.revoke(session);
        }
    }

    /// Files were fetched and could not be written: tells the user.
    pub fn refused(&self, request: &VolumeRequest, reason: &'static str, message: &str) {
        let problem = Problem::new(Code::ResourceExhausted, reason, message);
        self.fetcher
            .counters()
            .stale
            .fetch_add(1, Ordering::Relaxed);
        self.events
            .warn(&request.pod, "the files are kept as they are", &problem);
    }

    /// Revokes what only files that never took effect held.
    fn abandon(&self, volume: &Volume, mounted: &Mounted) {
        let state = |bytes: &Option<Secret>| bytes.as_ref().and_then(State::of_bytes);
        let Some(abandoned) = state(&mounted.abandoned) else {
            return;
        };
        let token = abandoned.private_token();
        let in_force = state(&mounted.state).and_then(|state| state.private_token());
        if token.is_none() || token == in_force || volume.logins.has_private() {
            return;
        }
        if let Some(session) = self.journalled_session(&abandoned) {
            self.fetcher.revoke(session);
        }
    }

    async fn first(
        &self,
        name: &ClassName,
        request: &VolumeRequest,
        volume: &Volume,
        live: &mut Live,
    ) -> Result<Fetched, Problem> {
        let end = Instant::now() + self.options.hold;
        live.state = None;
        loop {
            let deadline = end.min(Instant::now() + ATTEMPT);
            let problem = match self.fill(name, request, volume, live, None, deadline).await {
                Err(problem) if problem.is_transient() => problem,
                other => return other,
            };
            self.events.warn(
                &request.pod,
                "the volume cannot be mounted yet, still trying",
                &problem,
            );
            let is_of_cluster = matches!(problem.reason, "ClassUnread" | "StoreUnread");
            if is_of_cluster || Instant::now() + PAUSE >= end {
                return Err(problem);
            }
            sleep(PAUSE).await;
        }
    }

    async fn fill(
        &self,
        name: &ClassName,
        request: &VolumeRequest,
        volume: &Volume,
        live: &mut Live,
        intact: Option<bool>,
        deadline: Instant,
    ) -> Result<Fetched, Problem> {
        let Target { class, store, plan } = self.resolve(name, live).await?;
        let interval = plan.refresh.unwrap_or(self.options.refresh);
        let access = grant(&plan.claim, &store, &request.pod.namespace)?;
        let ends_soon = volume.logins.must_be_replaced(&access);
        if intact == Some(true)
            && !ends_soon
            && !live.is_due(&request.volume_id, &class, &store, interval)
        {
            return Ok(Fetched::Unchanged);
        }
        let urgency = if intact.is_none() {
            Urgency::FirstMount
        } else {
            Urgency::Refresh
        };
        let holder = Holder {
            id: &request.volume_id,
            namespace: &request.pod.namespace,
            service_account: &request.pod.service_account,
            token: request.token(&access)?,
        };
        let (fetcher, logins) = (&self.fetcher, &volume.logins);
        let gathered = fetcher
            .gather(
                &plan,
                &access,
                &holder,
                logins,
                live.state.as_ref(),
                urgency,
                deadline,
            )
            .await?;
        let files = gathered
            .files(&plan)
            .and_then(|files| {
                self.check_names(files.iter().map(|file| file.name.as_str()))?;
                Ok(files)
            })
            .inspect_err(|_| fetcher.give_up(&gathered, logins))?;
        let replaced = fetcher.keep(&gathered, logins);
        let previous = live.state.take();
        let private = logins.private(&identity(&access));
        let state = State::new(
            class,
            store,
            &files,
            previous.as_ref(),
            gathered.shared_token(),
            private.as_deref(),
        );
        let same = previous.as_ref().is_some_and(|previous| {
            previous.class == state.class
                && previous.is_of(&files)
                && intact == Some(true)
                && !replaced
        });
        if previous.is_none_or(|previous| previous.versions != state.versions) {
            self.write_pod_status(request, &state);
        }
        let bytes = state.to_bytes();
        live.succeeded(&request.volume_id, state, interval);
        Ok(if same {
            Fetched::Unchanged
        } else {
            Fetched::Files {
                files,
                state: bytes,
            }
        })
    }

    /// The class and its store as they are; while the API server is away, as they were.
    async fn resolve(&self, name: &ClassName, live: &mut Live) -> Result<Target, Problem> {
        let unread = |problem: &Problem| problem.code == Code::Unavailable;
        let followed = match &live.followed {
            Some(followed) if matches!(followed.latest(), Latest::Present(_)) => {
                Ok(Arc::clone(followed))
            }
            _ => self.classes.follow(name).await,
        };
        let class = match (followed, &live.state) {
            (Ok(followed), _) => {
                live.followed = Some(Arc::clone(&followed));
                match followed.latest() {
                    Latest::Present(class) => class,
                    Latest::Deleted => {
                        return Err(Problem::new(
                            Code::NotFound,
                            "ClassNotFound",
                            format!("{name} was deleted"),
                        ));
                    }
                }
            }
            (Err(problem), Some(state)) if unread(&problem) => state.class.clone(),
            (Err(problem), _) => return Err(problem),
        };
        let plan = class.plan()?;
        self.check_names(plan.names())?;
        let store = match (self.classes.stores().await, &live.state) {
            (Ok(stores), _) => choose(&plan.claim, &stores)?.clone(),
            (Err(problem), Some(state)) if unread(&problem) => (*state.store).clone(),
            (Err(problem), _) => return Err(problem),
        };
        Ok(Target { class, store, plan })
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

    fn write_pod_status(&self, request: &VolumeRequest, state: &State) {
        if self.options.pod_status && state.class.kind() == Kind::SecretProviderClass {
            let client = self.client.clone();
            pod_status::write(
                client,
                &self.options.node,
                request,
                &state.class.name,
                &state.versions,
            );
        }
    }

    /// A session with the token that an earlier process had for a volume alone.
    fn journalled_session(&self, state: &State) -> Option<Arc<Session>> {
        let private = state.private.as_ref()?;
        let plan = state.class.plan().ok()?;
        let access = grant(&plan.claim, &state.store, &state.class.namespace).ok()?;
        let server = self.fetcher.server(&access).ok()?;
        Some(Arc::new(Session::new(
            server.client.clone(),
            Auth::Token(private.token()),
        )))
        .inspect(|session| session.adopt(private.token()))
    }

    fn volume(&self, volume_id: &str) -> Arc<Volume> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(volumes.entry(volume_id.to_owned()).or_default())
    }
}
