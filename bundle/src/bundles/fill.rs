//! One look at a volume: what it is to hold now, asked for when it is due.

use super::{Bundles, Fetched};
use crate::Problem;
use crate::bundles::resolve::Target;
use crate::class::ClassName;
use crate::fetcher::{Deadlines, Gathered, identity};
use crate::holder::Holder;
use crate::journal::State;
use crate::limit::Urgency;
use crate::pod_status;
use crate::render::File;
use crate::request::VolumeRequest;
use crate::store::{Access, grant};
use crate::volume::{Live, Volume};

/// Whose turn it is.
pub(super) struct Turn<'a> {
    pub(super) name: &'a ClassName,
    pub(super) request: &'a VolumeRequest,
    pub(super) volume: &'a Volume,
}

/// Everything that was asked for.
struct Answered {
    target: Target,
    access: Access,
    gathered: Gathered,
    files: Vec<File>,
}

impl Bundles {
    /// `intact` is whether the files that are mounted are those that were written; `None` when nothing is mounted.
    pub(super) async fn fill(
        &self,
        turn: &Turn<'_>,
        live: &mut Live,
        intact: Option<bool>,
        deadlines: Deadlines,
    ) -> Result<Fetched, Problem> {
        let target = self.resolve(turn.name, live).await?;
        let namespace = &turn.request.pod.namespace;
        let access = grant(&target.plan.claim, &target.store, namespace)?;
        let ends_soon = turn.volume.logins.must_be_replaced(&access);
        let interval = target.plan.refresh.unwrap_or(self.options.refresh);
        let volume_id = &turn.request.volume_id;
        if intact == Some(true)
            && !live.is_due(volume_id, &target.class, &target.store, interval, ends_soon)
        {
            return Ok(Fetched::Unchanged);
        }
        live.tries(&target.class, &target.store);
        let urgency = match intact {
            None => Urgency::FirstMount,
            Some(_) => Urgency::Refresh,
        };
        let state = live.state.as_ref();
        let answered = self
            .ask(turn, target, access, state, urgency, deadlines)
            .await?;
        let previous = live.state.take();
        let (fetched, state) = self.take(turn, answered, previous, intact == Some(true));
        live.succeeded(volume_id, state, interval);
        Ok(fetched)
    }

    async fn ask(
        &self,
        turn: &Turn<'_>,
        target: Target,
        access: Access,
        state: Option<&State>,
        urgency: Urgency,
        deadlines: Deadlines,
    ) -> Result<Answered, Problem> {
        let request = turn.request;
        let holder = Holder {
            id: &request.volume_id,
            namespace: &request.pod.namespace,
            service_account: &request.pod.service_account,
            token: request.token(&access)?,
        };
        let (fetcher, logins, plan) = (&self.fetcher, &turn.volume.logins, &target.plan);
        let gathered = fetcher
            .gather(plan, &access, &holder, logins, state, urgency, deadlines)
            .await?;
        let files = gathered.files(plan).and_then(|files| {
            self.check_names(files.iter().map(|file| file.name.as_str()))?;
            Ok(files)
        });
        let files = files.inspect_err(|_| fetcher.give_up(&gathered, logins))?;
        Ok(Answered {
            target,
            access,
            gathered,
            files,
        })
    }

    /// Keeps what was issued. What is to be written, if that is something else than before, and what to remember.
    fn take(
        &self,
        turn: &Turn<'_>,
        answered: Answered,
        previous: Option<State>,
        intact: bool,
    ) -> (Fetched, State) {
        let Answered {
            target,
            access,
            gathered,
            files,
        } = answered;
        let logins = &turn.volume.logins;
        let replaced = self.fetcher.keep(&gathered, logins);
        let private = logins.private(&identity(&access));
        let state = State::new(
            target.class,
            target.store,
            &files,
            previous.as_ref(),
            gathered.shared_token(),
            private.as_deref(),
        );
        let same = previous.as_ref().is_some_and(|previous| {
            previous.class == state.class && previous.is_of(&files) && intact && !replaced
        });
        if self.writes_status(turn.name)
            && previous.is_none_or(|previous| previous.versions != state.versions)
        {
            pod_status::owe(&turn.volume.status, &state.versions);
        }
        let fetched = if same {
            Fetched::Unchanged
        } else {
            let state = state.to_bytes();
            Fetched::Files { files, state }
        };
        (fetched, state)
    }
}
