//! Objects that are read once and then watched, so that nobody asks the API server twice and nothing is listed that is not used.
//!
//! kube's own reflector is not used: it begins with a list, and a right to list reaches every object of the kind.

use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use kube::api::{Api, WatchEvent, WatchParams};
use kube::{Error, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// How long one read may take.
pub(crate) const READ: Duration = Duration::from_secs(5);
/// How soon a watch that broke is taken up again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// One object and its present state. The watch ends with the value.
pub(crate) struct Followed<T> {
    latest: Arc<RwLock<Latest<T>>>,
    task: AbortHandle,
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Latest<T> {
    /// As it is, or was when the API server was last heard
    Present(T),
    /// It was deleted
    Deleted,
}

/// Why an object could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is none of the name
    Absent,
    /// The cluster does not know the kind
    NoSuchKind,
    /// The API server did not answer, or refused
    Failed(String),
}

/// Reads `name` once.
pub(crate) async fn read<K>(api: &Api<K>, name: &str) -> Result<K, ReadError>
where
    K: Clone + DeserializeOwned + Debug,
{
    match timeout(READ, api.get(name)).await {
        Ok(Ok(object)) => Ok(object),
        Ok(Err(error)) => Err(ReadError::of(error, name)),
        Err(_elapsed) => Err(ReadError::Failed(
            "the API server does not answer".to_owned(),
        )),
    }
}

// === impl ReadError ===

impl ReadError {
    pub(crate) fn of(error: Error, name: &str) -> Self {
        match error {
            // An object that is absent is named in the answer; a kind that is absent makes the path itself unknown.
            Error::Api(status) if status.code == 404 && status.message.contains(name) => {
                Self::Absent
            }
            Error::Api(status) if status.code == 404 => Self::NoSuchKind,
            Error::Api(status) => {
                Self::Failed(format!("the API server refuses: {}", status.message))
            }
            other => Self::Failed(format!("the API server cannot be used: {other}")),
        }
    }
}

// === impl Followed ===

impl<T: Clone + PartialEq + Send + Sync + 'static> Followed<T> {
    /// Watches `object`, which was just read, by its name. `changed` is called when it has become another.
    pub(crate) fn start<K>(
        api: Api<K>,
        object: &K,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Self
    where
        K: Clone + DeserializeOwned + Debug + ResourceExt + Into<T> + Send + 'static,
    {
        let latest = Arc::new(RwLock::new(Latest::Present(object.clone().into())));
        let (name, version) = (object.name_any(), object.resource_version());
        let set = {
            let latest = Arc::clone(&latest);
            move |state| {
                let mut latest = latest.write().unwrap_or_else(PoisonError::into_inner);
                if *latest != state {
                    *latest = state;
                    drop(latest);
                    changed();
                }
            }
        };
        let task = tokio::spawn(follow(api, name, version, set)).abort_handle();
        Self { latest, task }
    }

    pub(crate) fn latest(&self) -> Latest<T> {
        // It is replaced as a whole, so a panic elsewhere cannot have broken it.
        self.latest
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl<T> Drop for Followed<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow<K, T>(
    api: Api<K>,
    name: String,
    mut version: Option<String>,
    set: impl Fn(Latest<T>),
) where
    K: Clone + DeserializeOwned + Debug + ResourceExt + Into<T>,
{
    let mut pause = AGAIN.0;
    loop {
        if let Some(from) = &version {
            let parameters = WatchParams::default()
                .fields(&format!("metadata.name={name}"))
                .timeout(290);
            if let Ok(events) = api.watch(&parameters, from).await {
                let mut events = events.boxed();
                while let Ok(Some(event)) = events.try_next().await {
                    match event {
                        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                            set(Latest::Present(object.into()))
                        }
                        WatchEvent::Deleted(_) => set(Latest::Deleted),
                        WatchEvent::Bookmark(_) => {}
                        WatchEvent::Error(_) => break,
                    }
                    pause = AGAIN.0;
                }
            }
        }
        // A watch that ended may have missed something: the object is read again before the next one.
        sleep(pause).await;
        pause = (pause * 2).min(AGAIN.1);
        version = match read(&api, &name).await {
            Ok(object) => {
                let version = object.resource_version();
                set(Latest::Present(object.into()));
                version
            }
            Err(ReadError::Absent) => {
                set(Latest::Deleted);
                // From here on the watch tells when it is made again.
                Some("0".to_owned())
            }
            Err(ReadError::NoSuchKind | ReadError::Failed(_)) => None,
        };
    }
}
