//! Asking for everything that a plan needs: first what may be shared or repeated, at most eight at a time, and last, when all of
//! that succeeded, what issues a credential.

use std::sync::Arc;
use std::time::Duration;

use envlatch_vault::Secret;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use crate::Problem;
use crate::counters::Counters;
use crate::holder::Holder;
use crate::journal::{LoginState, PrivateState, State};
use crate::limit::Urgency;
use crate::logins::Logins;
use crate::plan::{Ask, Plan};
use crate::private::{Issued, Private};
use crate::problem::Code;
use crate::render::{File, files};
use crate::revoker::{Login, Memory, NoMemory, Revoker};
use crate::server::{Answer, Server, Servers};
use crate::shared::{SharedLogin, SharedLogins};
use crate::store::Access;

/// How many reads of one holder are under way at once.
const AT_ONCE: usize = 8;

/// The servers in use and the logins on them.
pub struct Fetcher {
    servers: Servers,
    shared: SharedLogins,
    revoker: Revoker,
}

/// Until when answers are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// To what can be asked again
    pub(crate) repeatable: Instant,
    /// To what issues a credential: an engine can take half a minute, and whoever gives up and asks again gets another one
    pub(crate) issuing: Instant,
}

/// Every answer, and the logins behind them.
pub struct Gathered {
    answers: Vec<(Ask, Option<Arc<Answer>>)>,
    shared: Option<Arc<SharedLogin>>,
    private: Option<Arc<Private>>,
    /// Whether the private login was made just now
    fresh: bool,
    identity: String,
}

/// Who a holder is to a server: while that stays, so may its login.
pub(crate) fn identity(access: &Access) -> String {
    let namespace = access.settings.namespace.as_deref().unwrap_or_default();
    let (uid, generation) = &access.store_version;
    format!(
        "{uid} {generation} {namespace} {} {} {:?}",
        access.mount, access.role, access.audiences
    )
}

// === impl Fetcher ===

impl Fetcher {
    /// Nothing is asked yet. Must be called in a tokio runtime.
    #[must_use]
    pub fn start() -> Self {
        Self::with_memory(Arc::new(NoMemory))
    }

    /// The same, and what is to be revoked is remembered beyond the life of this process.
    #[must_use]
    pub fn with_memory(memory: Arc<dyn Memory>) -> Self {
        let servers = Servers::default();
        Self {
            revoker: Revoker::start(Arc::clone(&servers.counters), memory),
            shared: SharedLogins::default(),
            servers,
        }
    }

    /// What was asked of servers so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.servers.counters
    }

    pub(crate) fn server(&self, access: &Access) -> Result<Arc<Server>, Problem> {
        self.servers.get(access)
    }

    /// What `holder` gets for the first time, or again when what it has is not to be kept.
    ///
    /// # Errors
    /// Why it does not get everything.
    pub async fn fetch(
        &self,
        plan: &Plan,
        access: &Access,
        holder: &Holder<'_>,
        logins: &Logins,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<Gathered, Problem> {
        let deadlines = Deadlines::same(deadline);
        self.gather(plan, access, holder, logins, None, urgency, deadlines)
            .await
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one fetch, which meet only here"
    )]
    pub(crate) async fn gather(
        &self,
        plan: &Plan,
        access: &Access,
        holder: &Holder<'_>,
        logins: &Logins,
        state: Option<&State>,
        urgency: Urgency,
        deadlines: Deadlines,
    ) -> Result<Gathered, Problem> {
        let deadline = deadlines.repeatable;
        check_writes(plan, access)?;
        let server = self.servers.get(access)?;
        let journalled = state.and_then(State::shared_token);
        let shared = self
            .shared
            .join(holder, access, &server, journalled.as_ref());
        self.shared.leave(holder.id, shared.as_ref(), &self.revoker);
        let (reads, alone) = split(distinct(plan), shared.as_ref(), urgency, deadline).await?;
        let mut gathered = Gathered {
            answers: Vec::new(),
            shared,
            private: None,
            fresh: false,
            identity: identity(access),
        };
        if let Some(shared) = &gathered.shared {
            let answers = reads.into_iter().map(|(ask, optional)| async move {
                let answer = absent_if(optional, shared.read(&ask, urgency, deadline).await)?;
                Ok::<_, Problem>((ask, answer))
            });
            gathered.answers = stream::iter(answers)
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
        }
        if !alone.is_empty() {
            let (private, fresh) = self.private(access, holder, &server, logins, state);
            (gathered.private, gathered.fresh) = (Some(private), fresh);
            let who = holder.who(access);
            let outcome = gathered
                .ask_alone(&server, alone, urgency, deadlines, &who)
                .await;
            outcome.inspect_err(|_| self.give_up(&gathered, logins))?;
        }
        Ok(gathered)
    }

    /// The holder's own login: the one that it has, the one that an earlier process had, or a new one.
    fn private(
        &self,
        access: &Access,
        holder: &Holder<'_>,
        server: &Arc<Server>,
        logins: &Logins,
        state: Option<&State>,
    ) -> (Arc<Private>, bool) {
        let identity = identity(access);
        if let Some(private) = logins
            .private(&identity)
            .filter(|private| !private.must_be_replaced())
        {
            private.renew_jwt(holder.token);
            return (private, false);
        }
        let journalled = state
            .and_then(|state| state.private.as_ref())
            .filter(|_| !logins.has_private());
        if let Some(journalled) = journalled {
            let jwt = &holder.token.jwt;
            let private = self.go_on(access, jwt, server, logins, journalled, 0.0);
            if !private.must_be_replaced() {
                return (private, false);
            }
        }
        let private = Arc::new(Private::new(access, &holder.token.jwt, server));
        logins.prepare(private.login());
        (private, true)
    }

    /// Keeps alive what an earlier process had.
    pub(crate) fn go_on(
        &self,
        access: &Access,
        jwt: &Secret,
        server: &Arc<Server>,
        logins: &Logins,
        state: &PrivateState,
        share: f64,
    ) -> Arc<Private> {
        let private = Arc::new(Private::resumed(access, jwt, server, state, share));
        private.start_upkeep();
        let own = (identity(access), Arc::clone(&private));
        logins.replace(Some(own), &self.revoker);
        private
    }

    /// Goes on with the login of an earlier process, of which [`Gathered::login`] or [`Logins::login`] told. Nothing is asked now; what was
    /// issued is renewed soon, and `share` (from 0 to 1) spreads those who are continued together. Returns whether there is something to
    /// go on with.
    ///
    /// # Errors
    /// The store cannot be used.
    pub fn resume(
        &self,
        access: &Access,
        login: &Secret,
        logins: &Logins,
        share: f64,
    ) -> Result<bool, Problem> {
        let Some(state) =
            LoginState::of_bytes(login).filter(|state| state.identity == identity(access))
        else {
            return Ok(false);
        };
        let server = self.servers.get(access)?;
        // Whoever fetches next brings a token of the service account along.
        let jwt = Secret::default();
        let private = self.go_on(access, &jwt, &server, logins, &state.private, share);
        Ok(!private.all_kept().is_empty())
    }

    /// Nothing came of it: a login that was made for it ends, and with it whatever it was issued.
    pub fn give_up(&self, gathered: &Gathered, logins: &Logins) {
        if let (Some(private), true) = (&gathered.private, gathered.fresh) {
            logins.give_up(private.login(), &self.revoker);
        }
    }

    /// The holder keeps the logins. Returns whether it had another one of its own before, or none; that one ends after a while.
    pub fn keep(&self, gathered: &Gathered, logins: &Logins) -> bool {
        let own = |private: &Arc<Private>| Some((gathered.identity.clone(), Arc::clone(private)));
        match (&gathered.private, gathered.fresh) {
            (Some(private), true) => {
                private.start_upkeep();
                logins.replace(own(private), &self.revoker);
                true
            }
            (Some(private), false) => {
                private.start_upkeep();
                false
            }
            (None, _) if logins.has_private() => {
                logins.replace(None, &self.revoker);
                true
            }
            (None, _) => false,
        }
    }

    /// The holder is gone: what was made for it is revoked. Returns whether anything was made for it alone.
    pub fn forget(&self, id: &str, logins: &Logins) -> bool {
        let given_up = logins.take();
        let had = !given_up.is_empty();
        for login in given_up {
            self.revoker.revoke(login);
        }
        self.shared.leave(id, None, &self.revoker);
        had
    }

    /// Notes the token that an earlier process shared among holders, this one among them.
    pub(crate) fn note_shared(&self, id: &str, token: Secret) {
        self.shared.note(id, token);
    }

    /// The token that was noted for the holder, if it is gone with it.
    pub(crate) fn shared_left_alone(&self, id: &str) -> Option<Secret> {
        self.shared.left_alone(id)
    }

    /// Somebody else looks after the holder from now on: what was made for it alone lives on.
    pub fn leave(&self, id: &str) {
        self.shared.leave(id, None, &self.revoker);
    }

    /// Revokes what was made for a holder alone, and waits for the outcome. Returns whether anything was.
    ///
    /// # Errors
    /// It is not known to be revoked; it can be tried again.
    pub async fn end(&self, logins: &Logins, within: Duration) -> Result<bool, Problem> {
        let mut had = false;
        for session in logins.all() {
            let Some(held) = session.held() else { continue };
            had = true;
            if !session.revoke(within).await {
                // A session forgets the token whose revocation it tried.
                session.adopt(held.secret);
                return Err(Problem::new(
                    Code::Unavailable,
                    "VaultUnreachable",
                    "the server did not revoke a token",
                ));
            }
        }
        Ok(had)
    }

    /// Ends leases whose token is not known any more. The role needs a policy on `sys/leases/revoke` for that.
    ///
    /// # Errors
    /// The first that could not be revoked.
    pub async fn revoke_leases(
        &self,
        access: &Access,
        holder: &Holder<'_>,
        leases: &[String],
        deadline: Instant,
    ) -> Result<(), Problem> {
        let server = self.servers.get(access)?;
        let private = Private::new(access, &holder.token.jwt, &server);
        let mut outcome = Ok(());
        for lease in leases {
            let revoked = private.session.revoke_lease(lease, deadline.into_std());
            if let Err(error) = revoked.await {
                outcome = Err(Problem::of_server(&error, &holder.who(access)));
                break;
            }
        }
        self.revoke(private.login());
        outcome
    }

    pub(crate) fn revoke(&self, login: Login) {
        self.revoker.revoke(login);
    }

    /// Waits until everything that is to be revoked was tried once, at most so long.
    pub async fn flush(&self, within: Duration) {
        self.revoker.flush(within).await;
    }
}

// === impl Deadlines ===

impl Deadlines {
    /// One deadline for everything.
    pub(crate) fn same(deadline: Instant) -> Self {
        Self {
            repeatable: deadline,
            issuing: deadline,
        }
    }
}

// === impl Gathered ===

impl Gathered {
    /// What was issued for the holder alone and is behind the answers.
    #[must_use]
    pub fn issued(&self) -> Vec<Issued> {
        let private = self.private.as_ref();
        private.map(|private| private.issued()).unwrap_or_default()
    }

    /// Whether a login was made for it that is not kept yet.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The login behind what was issued, for [`Fetcher::resume`]. It has the token and the credentials in it.
    #[must_use]
    pub fn login(&self) -> Option<Secret> {
        let private = self.private.as_ref()?;
        Some(LoginState::of(&self.identity, private)?.to_bytes())
    }

    /// The files of `plan`, for which it was gathered; names are not checked yet.
    ///
    /// # Errors
    /// A key is missing, a value is not encoded as the plan says, or a template fails.
    pub fn files(&self, plan: &Plan) -> Result<Vec<File>, Problem> {
        files(plan, |entry| self.answer(&entry.ask))
    }

    async fn ask_alone(
        &mut self,
        server: &Server,
        asks: Vec<(Ask, bool)>,
        urgency: Urgency,
        deadlines: Deadlines,
        who: &str,
    ) -> Result<(), Problem> {
        let Some(private) = &self.private else {
            return Ok(());
        };
        for (ask, optional) in asks {
            if let Some(kept) = private.kept(&ask) {
                self.answers.push((ask, Some(kept)));
                continue;
            }
            let mut deadline = deadlines.repeatable;
            if ask.issues() {
                server.log_in(&private.session, deadline, who).await?;
                deadline = deadlines.issuing;
            }
            let answer = server
                .ask(&private.session, &ask, urgency, deadline, who)
                .await;
            let answer = absent_if(optional, answer.map(Arc::new))?;
            if let Some(answer) = &answer {
                private.keep(&ask, answer);
            }
            self.answers.push((ask, answer));
        }
        Ok(())
    }

    fn answer(&self, ask: &Ask) -> Option<&Answer> {
        let (_, answer) = self.answers.iter().find(|(own, _)| own == ask)?;
        answer.as_deref()
    }

    pub(crate) fn shared_token(&self) -> Option<Secret> {
        Some(self.shared.as_ref()?.session.held()?.secret)
    }
}

/// The requests of a plan, each once, and whether all who want it can do without.
fn distinct(plan: &Plan) -> Vec<(Ask, bool)> {
    let mut asks: Vec<(Ask, bool)> = Vec::new();
    for entry in &plan.entries {
        match asks.iter_mut().find(|(ask, _)| *ask == entry.ask) {
            Some((_, optional)) => *optional &= entry.optional,
            None => asks.push((entry.ask.clone(), entry.optional)),
        }
    }
    asks
}

/// Which requests may go over the shared login, and which may not.
async fn split(
    asks: Vec<(Ask, bool)>,
    shared: Option<&Arc<SharedLogin>>,
    urgency: Urgency,
    deadline: Instant,
) -> Result<(Vec<(Ask, bool)>, Vec<(Ask, bool)>), Problem> {
    let (mut reads, mut alone) = (Vec::new(), Vec::new());
    for (ask, optional) in asks {
        let may_share = match shared {
            Some(shared) => shared.may_read(&ask, urgency, deadline).await?,
            None => false,
        };
        if may_share { &mut reads } else { &mut alone }.push((ask, optional));
    }
    // What issues a credential comes last.
    alone.sort_by_key(|(ask, _)| ask.issues());
    Ok((reads, alone))
}

fn check_writes(plan: &Plan, access: &Access) -> Result<(), Problem> {
    let mut writes = plan
        .entries
        .iter()
        .filter(|entry| entry.ask.arguments.is_some());
    writes.try_for_each(|entry| access.check_write(&entry.name, &entry.ask.path))
}

/// Nothing instead of an error, when the path does not exist and need not.
fn absent_if(
    optional: bool,
    answer: Result<Arc<Answer>, Problem>,
) -> Result<Option<Arc<Answer>>, Problem> {
    match answer {
        Err(problem) if optional && problem.code == Code::NotFound => Ok(None),
        other => other.map(Some),
    }
}
