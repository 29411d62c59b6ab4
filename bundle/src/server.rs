//! The servers in use: connections, limits and counters, shared by everything that goes to one store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use envlatch_vault::{Class, Client, Reply, Request, Session, Value};
use tokio::time::{Instant, timeout_at};

use crate::Problem;
use crate::limit::{Limit, Urgency};
use crate::plan::Ask;
use crate::problem::Code;
use crate::store::Access;

/// How long refreshes leave a server alone that said that it is asked too much.
const BREATHER: Duration = Duration::from_secs(5);

/// What was asked of servers since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Reads and writes that were sent
    pub requests: AtomicU64,
    /// Reads that were answered by a reply that another volume had asked for
    pub coalesced: AtomicU64,
    /// Requests that failed
    pub failures: AtomicU64,
    /// Renewals of tokens and leases
    pub renewals: AtomicU64,
    /// Tokens that were revoked
    pub revocations: AtomicU64,
    /// Refreshes that failed, so that older files stayed
    pub stale: AtomicU64,
}

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
            let texts: Vec<String> = problems
                .iter()
                .map(|problem| problem.text.clone())
                .collect();
            let text = format!("VaultStore {}: {}", access.store, texts.join("; "));
            Problem::new(Code::FailedPrecondition, "StoreUnusable", text)
        })?;
        known.retain(|((uid, generation), _), _| *uid != place.0.0 || *generation == place.0.1);
        let sibling = known.iter().find(|((version, _), _)| *version == place.0);
        let limit = sibling.map_or_else(
            || Arc::new(Limit::new(&access.limit)),
            |(_, server)| Arc::clone(&server.limit),
        );
        let server = Arc::new(Server {
            client,
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
            let text = format!(
                "too many requests wait for the server; raise the store's spec.requestLimit [{who}]"
            );
            return Err(Problem::new(Code::Unavailable, "RequestLimit", text));
        };
        let request = Request {
            path: &ask.path,
            query: &ask.query,
            arguments: ask.arguments.as_ref(),
        };
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let outcome = session.exchange(request, deadline.into_std()).await;
        outcome
            .map(|(whole, reply)| Answer { whole, reply })
            .map_err(|error| {
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
                if error.class() == Class::RateLimited {
                    self.limit.pause(BREATHER);
                }
                Problem::of_server(&error, who)
            })
    }
}
