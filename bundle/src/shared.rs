//! Logins that pods of one service account share, for reading key-value secrets and nothing else.
//!
//! A pod joins only with a token of its own in hand, which replaces the one before: the session always logs in as somebody who
//! is there. The token is revoked after the last volume that used it. What was read is handed to whoever asks in the next ten
//! seconds, but never to a refresh.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use envlatch_api::AuthMethod;
use envlatch_vault::{Auth, Secret, Session, Source, is_addressed_as_version_2};
use tokio::time::{Instant, sleep, timeout_at};

use crate::Problem;
use crate::holder::Holder;
use crate::limit::Urgency;
use crate::plan::Ask;
use crate::problem::Code;
use crate::request::Token;
use crate::revoker::{Login, Revoker};
use crate::server::{Answer, Server};
use crate::store::Access;

/// How old an answer may be that a first mount gets.
pub(crate) const REUSE: Duration = Duration::from_secs(10);

/// Whoever has an equal key has the same rights on the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    store: (String, i64),
    server_namespace: Option<String>,
    mount: String,
    role: String,
    audience: String,
    namespace: String,
    service_account: String,
    service_account_uid: String,
}

/// Every shared login of the node.
#[derive(Default)]
pub(crate) struct SharedLogins {
    logins: Mutex<HashMap<Key, Arc<SharedLogin>>>,
    /// The tokens that an earlier process had for volumes that nobody has asked about since
    earlier: Mutex<HashMap<String, Secret>>,
}

/// One login and what it read a moment ago.
pub(crate) struct SharedLogin {
    pub(crate) session: Arc<Session>,
    server: Arc<Server>,
    jwt: Arc<RwLock<Secret>>,
    who: String,
    volumes: Mutex<BTreeSet<String>>,
    reads: Mutex<Vec<(Ask, Arc<Read>)>>,
    /// Mounts that were asked about, and whether they are key-value engines
    engines: Mutex<HashMap<String, bool>>,
}

/// One path; whoever wants it waits for the read under way.
type Read = tokio::sync::Mutex<Option<(Instant, Arc<Answer>)>>;

/// The login of `access` as whoever has the token in `cell`.
pub(crate) fn auth(access: &Access, cell: &Arc<RwLock<Secret>>) -> Auth {
    let (mount, role) = (access.mount.clone(), access.role.clone());
    let jwt = Source::Renewed(Arc::clone(cell));
    match access.method {
        AuthMethod::Kubernetes => Auth::Kubernetes { mount, role, jwt },
        AuthMethod::Jwt => Auth::Jwt {
            mount,
            role: Some(role),
            jwt,
        },
    }
}

/// Replaces the token in `cell`.
pub(crate) fn renew(cell: &RwLock<Secret>, token: &Token) {
    // It is replaced as a whole, so a panic elsewhere cannot have broken it.
    *cell.write().unwrap_or_else(PoisonError::into_inner) = token.jwt.clone();
}

// === impl SharedLogins ===

impl SharedLogins {
    /// The login that the volume may share; `None` when it must have its own. `journalled` is the token that an earlier process
    /// had for it.
    pub(crate) fn join(
        &self,
        holder: &Holder<'_>,
        access: &Access,
        server: &Arc<Server>,
        journalled: Option<&Secret>,
    ) -> Option<Arc<SharedLogin>> {
        if !access.shares_logins {
            return None;
        }
        let key = Key {
            store: access.store_version.clone(),
            server_namespace: access.settings.namespace.clone(),
            mount: access.mount.clone(),
            role: access.role.clone(),
            audience: access.audiences.join(" "),
            namespace: holder.namespace.to_owned(),
            service_account: holder.service_account.to_owned(),
            service_account_uid: holder.token.service_account_uid()?,
        };
        locked(&self.earlier).remove(holder.id);
        let mut logins = locked(&self.logins);
        let login = logins.entry(key).or_insert_with(|| {
            let jwt = Arc::new(RwLock::new(holder.token.jwt.clone()));
            let session = Session::new(server.client.clone(), auth(access, &jwt));
            if let Some(token) = journalled {
                session.adopt(token.clone());
            }
            Arc::new(SharedLogin {
                session: Arc::new(session),
                server: Arc::clone(server),
                jwt,
                who: holder.who(access),
                volumes: Mutex::default(),
                reads: Mutex::default(),
                engines: Mutex::default(),
            })
        });
        renew(&login.jwt, holder.token);
        locked(&login.volumes).insert(holder.id.to_owned());
        Some(Arc::clone(login))
    }

    /// Takes the volume out of every login but `keep`, and revokes those that nobody uses any more.
    pub(crate) fn leave(
        &self,
        volume_id: &str,
        keep: Option<&Arc<SharedLogin>>,
        revoker: &Revoker,
    ) {
        locked(&self.logins).retain(|_, login| {
            if keep.is_some_and(|keep| Arc::ptr_eq(keep, login)) {
                return true;
            }
            let mut volumes = locked(&login.volumes);
            let gone = volumes.remove(volume_id) && volumes.is_empty();
            if gone && !self.is_of_earlier(&login.session) {
                revoker.revoke(Login {
                    session: Arc::clone(&login.session),
                    origin: Arc::clone(&login.server.origin),
                });
            }
            !gone
        });
    }

    /// Notes the token that an earlier process had for a mounted volume.
    pub(crate) fn note(&self, volume_id: &str, token: Secret) {
        locked(&self.earlier).insert(volume_id.to_owned(), token);
    }

    /// The token that was noted for the volume, if no other volume has it.
    pub(crate) fn left_alone(&self, volume_id: &str) -> Option<Secret> {
        // The logins come first, as in `leave`.
        let logins = locked(&self.logins);
        let mut earlier = locked(&self.earlier);
        let token = earlier.remove(volume_id)?;
        let has_it = |login: &Arc<SharedLogin>| {
            login
                .session
                .held()
                .is_some_and(|held| held.secret == token)
        };
        let in_use = earlier.values().any(|other| *other == token) || logins.values().any(has_it);
        (!in_use).then_some(token)
    }

    /// Whether a volume that comes later will go on with the token of this session.
    fn is_of_earlier(&self, session: &Session) -> bool {
        session.held().is_some_and(|held| {
            locked(&self.earlier)
                .values()
                .any(|token| *token == held.secret)
        })
    }
}

// === impl SharedLogin ===

impl SharedLogin {
    /// Whether `ask` is a read of a key-value engine. A path that does not tell is asked about once per mount; without an answer
    /// it counts as something else.
    pub(crate) async fn may_read(
        &self,
        ask: &Ask,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<bool, Problem> {
        if ask.issues() {
            return Ok(false);
        }
        if is_addressed_as_version_2(&ask.path) {
            return Ok(true);
        }
        let known = locked(&self.engines)
            .iter()
            .find(|(mount, _)| ask.path.starts_with(mount.as_str()))
            .map(|(_, is_kv)| *is_kv);
        if let Some(is_kv) = known {
            return Ok(is_kv);
        }
        let question = Ask {
            path: format!("sys/internal/ui/mounts/{}", ask.path),
            query: Vec::new(),
            arguments: None,
        };
        let answer = match self
            .server
            .ask(&self.session, &question, urgency, deadline, &self.who)
            .await
        {
            Ok(answer) => answer,
            Err(problem) if problem.is_transient() => return Err(problem),
            Err(_) => return Ok(false),
        };
        let text = |key| answer.reply.data.get(key).map(|value| value.to_text());
        let is_kv = text("type").is_some_and(|kind| matches!(kind.expose(), b"kv" | b"generic"));
        if let Some(mount) = text("path").as_ref().and_then(Secret::expose_str) {
            locked(&self.engines).insert(mount.to_owned(), is_kv);
        }
        Ok(is_kv)
    }

    /// Reads; a first mount may get what somebody else read a moment ago.
    pub(crate) async fn read(
        self: &Arc<Self>,
        ask: &Ask,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<Arc<Answer>, Problem> {
        let asked = Instant::now();
        let read = self.slot(ask);
        let Ok(mut latest) = timeout_at(deadline, read.lock()).await else {
            let text = format!(
                "another read of {} did not end in time [{}]",
                ask.path, self.who
            );
            return Err(Problem::new(Code::Unavailable, "VaultUnreachable", text));
        };
        if let Some((started, answer)) = &*latest {
            // A refresh takes only what was asked after it was due itself.
            let serves = match urgency {
                Urgency::FirstMount => started.elapsed() < REUSE,
                Urgency::Refresh => *started >= asked,
            };
            if serves {
                self.server
                    .counters()
                    .coalesced
                    .fetch_add(1, Ordering::Relaxed);
                return Ok(Arc::clone(answer));
            }
        }
        let started = Instant::now();
        let answer = Arc::new(
            self.server
                .ask(&self.session, ask, urgency, deadline, &self.who)
                .await?,
        );
        if answer.reply.lease.is_none() {
            *latest = Some((started, Arc::clone(&answer)));
        }
        Ok(answer)
    }

    fn slot(self: &Arc<Self>, ask: &Ask) -> Arc<Read> {
        let mut reads = locked(&self.reads);
        if let Some((_, read)) = reads.iter().find(|(known, _)| known == ask) {
            return Arc::clone(read);
        }
        let read = Arc::<Read>::default();
        reads.push((ask.clone(), Arc::clone(&read)));
        tokio::spawn(forget(Arc::downgrade(self), Arc::clone(&read)));
        read
    }
}

/// Ends the slot when nobody reads and what was read may not be handed out any more, or there was no answer: neither values nor
/// paths lie in memory for longer.
async fn forget(login: Weak<SharedLogin>, read: Arc<Read>) {
    let mut wait = REUSE;
    loop {
        sleep(wait).await;
        let Some(login) = login.upgrade() else {
            return;
        };
        // Held, so that nobody finds the slot in the meantime.
        let mut reads = locked(&login.reads);
        wait = in_use_for(&read);
        if wait.is_zero() {
            reads.retain(|(_, other)| !Arc::ptr_eq(other, &read));
            return;
        }
    }
}

/// How long what was read may still be handed out; while somebody reads, a while.
fn in_use_for(read: &Read) -> Duration {
    read.try_lock().map_or(REUSE, |latest| {
        let age = latest.as_ref().map(|(started, _)| started.elapsed());
        age.map_or(Duration::ZERO, |age| REUSE.saturating_sub(age))
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one insertion or removal, so a panic elsewhere cannot have broken it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::Servers;
    use crate::store::{Claim, grant};

    /// A login at a server that is not there.
    fn unreachable() -> Arc<SharedLogin> {
        let store = json!({
            "apiVersion": "envlatch.io/v1alpha1", "kind": "VaultStore", "metadata": {"name": "main", "uid": "u"},
            "spec": {
                "addresses": ["http://127.0.0.1:1"],
                "grants": [{"namespaces": ["*"], "roles": ["*"]}],
            },
        });
        let store = serde_json::from_value(store).unwrap();
        let access = grant(&Claim::default(), &store, "team").unwrap();
        let server = Servers::default().get(&access).unwrap();
        let jwt = Arc::new(RwLock::new(Secret::from("a.b.c".to_owned())));
        Arc::new(SharedLogin {
            session: Arc::new(Session::new(server.client.clone(), auth(&access, &jwt))),
            server,
            jwt,
            who: "who".to_owned(),
            volumes: Mutex::default(),
            reads: Mutex::default(),
            engines: Mutex::default(),
        })
    }

    fn ask() -> Ask {
        Ask {
            path: "secret/data/app".to_owned(),
            query: Vec::new(),
            arguments: None,
        }
    }

    /// How many slots there are after this time.
    async fn slots_after(login: &SharedLogin, time: Duration) -> usize {
        sleep(time).await;
        locked(&login.reads).len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_path_that_failed_is_forgotten() {
        let login = unreachable();
        let deadline = Instant::now() + Duration::from_secs(60);
        let read = login.read(&ask(), Urgency::FirstMount, deadline).await;
        assert!(read.is_err(), "{read:?}");
        assert_eq!(locked(&login.reads).len(), 1);
        assert_eq!(slots_after(&login, 2 * REUSE).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_lasts_while_somebody_reads() {
        let login = unreachable();
        let slot = login.slot(&ask());
        let reading = slot.lock().await;
        assert_eq!(slots_after(&login, 3 * REUSE).await, 1);
        drop(reading);
        assert_eq!(slots_after(&login, 2 * REUSE).await, 0);
    }
}
