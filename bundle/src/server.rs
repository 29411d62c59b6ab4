//! The servers in use: connections, limits and counters, shared by everything that goes to one store.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use envlatch_vault::{Class, Client, Error, Reply, Request, Session, Value};
use tokio::time::{Instant, timeout_at};

use crate::Problem;
use crate::counters::Counters;
use crate::limit::{Limit, Urgency};
use crate::plan::Ask;
use crate::problem::Code;
use crate::revoker::Origin;
use crate::store::{Access, unusable};

/// How long a server is left alone that said that it is asked too much, and not for how long.
const BREATHER: Duration = Duration::from_secs(5);

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The response without its request id
    pub(crate) whole: Value,
    /// The same taken apart
    pub(crate) reply: Reply,
}

/// One store as one identity's namespace sees it.
pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) origin: Arc<Origin>,
    limit: Arc<Limit>,
    counters: Arc<Counters>,
}

/// Every server in use.
#[derive(Default)]
pub(crate) struct Servers {
    known: Mutex<HashMap<Place, Arc<Server>>>,
    pub(crate) counters: Arc<Counters>,
}

/// Uid and generation of the store, and the server's namespace.
type Place = ((String, i64), Option<String>);

// === impl Servers ===

impl Servers {
    /// The server of `access`. Those of earlier generations of its store are forgotten.
    pub(crate) fn get(&self, access: &Access) -> Result<Arc<Server>, Problem> {
        let place = (
            access.store_version.clone(),
            access.settings.namespace.clone(),
        );
        // Entries are added and removed whole, so a panic elsewhere cannot have broken the map.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = known.get(&place) {
            return Ok(Arc::clone(server));
        }
        let client = Client::new(access.settings.clone()).map_err(|problems| {
            let texts: Vec<String> = problems.iter().map(unusable).collect();
            let text = format!("VaultStore {}: {}", access.store, texts.join("; "));
            Problem::new(Code::FailedPrecondition, "StoreUnusable", text)
        })?;
        known.retain(|((uid, generation), _), _| *uid != place.0.0 || *generation == place.0.1);
        let sibling = known.iter().find(|((version, _), _)| *version == place.0);
        let limit = sibling.map_or_else(
            || Arc::new(Limit::new(&access.limit)),
            |(_, server)| Arc::clone(&server.limit),
        );
        let origin = Origin {
            store: access.spec.clone(),
            namespace: access.settings.namespace.clone(),
        };
        let server = Arc::new(Server {
            client,
            origin: Arc::new(origin),
            limit,
            counters: Arc::clone(&self.counters),
        });
        known.insert(place, Arc::clone(&server));
        Ok(server)
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sends `ask` when its turn has come.
    pub(crate) async fn ask(
        &self,
        session: &Session,
        ask: &Ask,
        urgency: Urgency,
        deadline: Instant,
        who: &str,
    ) -> Result<Answer, Problem> {
        let Ok(_place) = timeout_at(deadline, self.limit.enter(urgency)).await else {
            return Err(self.not_its_turn(who));
        };
        let request = Request {
            path: &ask.path,
            query: &ask.query,
            arguments: ask.arguments.as_ref(),
        };
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let operation = if ask.issues() { "issue" } else { "read" };
        let exchange = session.exchange(request, deadline.into_std());
        match self.timed(operation, exchange).await {
            Ok((whole, reply)) => Ok(Answer { whole, reply }),
            Err(error) => {
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
                Err(Problem::of_server(&error, who))
            }
        }
    }

    /// Logs in, if that is not done yet.
    pub(crate) async fn log_in(
        &self,
        session: &Session,
        deadline: Instant,
        who: &str,
    ) -> Result<(), Problem> {
        let outcome = session.token(deadline.into_std()).await;
        self.heed(&outcome);
        match outcome {
            Ok(_token) => Ok(()),
            Err(error) => Err(Problem::of_server(&error, who)),
        }
    }

    /// Makes a renewal, which waits for nobody but a server that asked to be left alone.
    pub(crate) async fn renew<T>(
        &self,
        renewal: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let _place = self.limit.enter(Urgency::FirstMount).await;
        self.counters.renewals.fetch_add(1, Ordering::Relaxed);
        self.timed("renew", renewal).await
    }

    /// Measures a call.
    async fn timed<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let begin = Instant::now();
        let outcome = call.await;
        let status = outcome.as_ref().map_or_else(Error::status, |_| Some(200));
        self.counters.answered(operation, status, begin.elapsed());
        self.heed(&outcome);
        outcome
    }

    /// Leaves the server alone when it says that it is asked too much.
    fn heed<T>(&self, outcome: &Result<T, Error>) {
        if let Err(error) = outcome
            && error.class() == Class::RateLimited
        {
            self.limit.pause(error.retry_after().unwrap_or(BREATHER));
        }
    }

    fn not_its_turn(&self, who: &str) -> Problem {
        let paused = self.limit.paused();
        if paused.is_zero() {
            let text = format!(
                "too many requests wait for the server; raise the store's spec.requestLimit [{who}]"
            );
            return Problem::new(Code::Unavailable, "RequestLimit", text);
        }
        let text = format!(
            "the server said that it is asked too much, and is left alone for {} s more; raise its rate limit quota [{who}]",
            paused.as_secs() + 1
        );
        Problem::new(Code::Unavailable, "VaultRateLimited", text)
    }
}
