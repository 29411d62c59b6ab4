//! Asking for everything that a plan needs: first what may be shared or repeated, at most eight at a time, and last, when all of
//! that succeeded, what issues a credential.

use std::sync::Arc;

use envlatch_vault::Secret;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::Bundles;
use crate::Problem;
use crate::journal::State;
use crate::limit::Urgency;
use crate::plan::{Ask, Plan};
use crate::private::Private;
use crate::problem::Code;
use crate::request::{Token, VolumeRequest};
use crate::revoker::Revoker;
use crate::server::{Answer, Server};
use crate::shared::{SharedLogin, who};
use crate::store::Access;
use crate::volume::Volume;

/// How many reads of one volume are under way at once.
const AT_ONCE: usize = 8;

/// Every answer, and the logins behind them.
pub(super) struct Gathered {
    answers: Vec<(Ask, Option<Arc<Answer>>)>,
    shared: Option<Arc<SharedLogin>>,
    private: Option<Arc<Private>>,
    /// Whether the private login was made just now
    fresh: bool,
}

/// Who the volume is to a server: while that stays, so may its login.
pub(super) fn identity(access: &Access) -> String {
    let namespace = access.settings.namespace.as_deref().unwrap_or_default();
    let (uid, generation) = &access.store_version;
    format!(
        "{uid} {generation} {namespace} {} {} {:?}",
        access.mount, access.role, access.audiences
    )
}

// === impl Bundles ===

impl Bundles {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one fetch, which meet only here"
    )]
    pub(super) async fn gather(
        &self,
        plan: &Plan,
        access: &Access,
        request: &VolumeRequest,
        volume: &Volume,
        state: Option<&State>,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<Gathered, Problem> {
        check_writes(plan, access)?;
        let token = request.token(access)?;
        let server = self.servers.get(access)?;
        let journalled = state.and_then(State::shared_token);
        let shared = self
            .shared
            .join(request, access, token, &server, journalled.as_ref());
        self.shared
            .leave(&request.volume_id, shared.as_ref(), &self.revoker);
        let (reads, alone) = split(distinct(plan), shared.as_ref(), urgency, deadline).await?;
        let mut gathered = Gathered {
            answers: Vec::new(),
            shared,
            private: None,
            fresh: false,
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
            let (private, fresh) = self.private(access, token, &server, volume, state);
            (gathered.private, gathered.fresh) = (Some(private), fresh);
            let who = who(request, access);
            let outcome = gathered
                .ask_alone(&server, alone, urgency, deadline, &who)
                .await;
            outcome.inspect_err(|_| gathered.give_up(volume, &self.revoker))?;
        }
        Ok(gathered)
    }

    /// The volume's own login: the one that it has, the one that an earlier process had, or a new one.
    fn private(
        &self,
        access: &Access,
        token: &Token,
        server: &Arc<Server>,
        volume: &Volume,
        state: Option<&State>,
    ) -> (Arc<Private>, bool) {
        if let Some(private) = volume
            .private(&identity(access))
            .filter(|private| !private.must_be_replaced())
        {
            private.renew_jwt(token);
            return (private, false);
        }
        let private = Arc::new(Private::new(access, token, server));
        let journalled = state
            .and_then(|state| state.private.as_ref())
            .filter(|_| !volume.has_private());
        if let Some(journalled) = journalled {
            private.resume(journalled.token(), journalled.lives(), journalled.kept());
            volume.replace(
                Some((identity(access), Arc::clone(&private))),
                &self.revoker,
            );
            return (private, false);
        }
        volume.prepare(&private.session);
        (private, true)
    }
}

// === impl Gathered ===

impl Gathered {
    async fn ask_alone(
        &mut self,
        server: &Server,
        asks: Vec<(Ask, bool)>,
        urgency: Urgency,
        deadline: Instant,
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

    pub(super) fn answer(&self, ask: &Ask) -> Option<&Answer> {
        let (_, answer) = self.answers.iter().find(|(own, _)| own == ask)?;
        answer.as_deref()
    }

    pub(super) fn shared_token(&self) -> Option<Secret> {
        Some(self.shared.as_ref()?.session.held()?.secret)
    }

    /// Nothing came of it: a login that was made for it ends, and with it whatever it was issued.
    pub(super) fn give_up(&self, volume: &Volume, revoker: &Revoker) {
        if let (Some(private), true) = (&self.private, self.fresh) {
            volume.give_up(&private.session, revoker);
        }
    }

    /// The volume keeps the logins. Returns whether it had another one of its own before.
    pub(super) fn keep(&self, volume: &Volume, revoker: &Revoker, identity: String) -> bool {
        match (&self.private, self.fresh) {
            (Some(private), true) => {
                private.start_upkeep();
                volume.replace(Some((identity, Arc::clone(private))), revoker);
                true
            }
            (Some(private), false) => {
                private.start_upkeep();
                false
            }
            (None, _) if volume.has_private() => {
                volume.replace(None, revoker);
                true
            }
            (None, _) => false,
        }
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
    alone.sort_by_key(|(ask, _)| ask.arguments.is_some() || envlatch_vault::may_mint(&ask.path));
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
