//! What the user hears of a turn: the status, when it says something else than before, and an event when something turned.

use std::time::Duration;

use envlatch_api::{LeaseRecord, SecretBundleStatus};
use envlatch_bundle::Problem;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Failed, SETTLE, Turn};
use crate::queue::Class;
use crate::schedule::pause;
use crate::status::{self, Facts, records};
use crate::tracked::{Applied, Live};

// === impl Turn ===

impl Turn<'_> {
    /// Says what became of the turn, and when the next one is.
    pub(super) async fn conclude(&self, live: &mut Live, outcome: Result<(), Failed>) {
        let (problem, again) = match outcome {
            Ok(()) => (None, None),
            Err(failed) => (Some(failed.problem), failed.again),
        };
        self.tracked.set_failing(problem.is_some());
        let next = match (&problem, again) {
            (None, _) => {
                live.failures = 0;
                let changes = self.tracked.logins.changes().map(|at| at + SETTLE);
                [live.refresh, changes, live.replace]
                    .into_iter()
                    .flatten()
                    .min()
            }
            (Some(_), Some(again)) => Some(again),
            (Some(problem), None) => {
                let pause = pause(&self.uid, problem, live.failures);
                live.failures = live.failures.saturating_add(1);
                Some(Instant::now() + pause)
            }
        };
        let mut next = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(300));
        match self.report(live, problem.as_ref()).await {
            Ok(()) => live.unreported = 0,
            Err(unwritten) => {
                tracing::warn!("{}: {unwritten}", self.key);
                next = next.min(Instant::now() + pause(&self.uid, &unwritten, live.unreported));
                live.unreported = live.unreported.saturating_add(1);
            }
        }
        if live.continued && live.status.is_some() {
            self.operator.world.forget_status(self.key);
        }
        self.operator.want(self.key.clone(), Class::Timer, next);
    }

    async fn report(&self, live: &mut Live, problem: Option<&Problem>) -> Result<(), Problem> {
        let earlier = live.status.clone().or_else(|| self.bundle.status.clone());
        let facts = self.facts(live, earlier.as_ref(), problem);
        let mut status = status::status(earlier.as_ref(), &facts, Timestamp::now());
        // Whether somebody else changed the Secret's version without its content is not worth a write.
        let same = earlier
            .as_ref()
            .is_some_and(|earlier| same(earlier, &status));
        if same {
            live.status = earlier;
            return Ok(());
        }
        if !status.leases.is_empty()
            && live.pending.is_none()
            && let Some(login) = self.tracked.logins.login()
        {
            status.login = Some(self.sealed(&login));
        }
        self.tell(earlier.as_ref(), live, problem);
        self.write_status(live, status).await
    }

    fn facts<'p>(
        &self,
        live: &Live,
        earlier: Option<&SecretBundleStatus>,
        problem: Option<&'p Problem>,
    ) -> Facts<'p> {
        let before = earlier
            .map(|earlier| earlier.leases.as_slice())
            .unwrap_or_default();
        let applied = live.applied.as_ref();
        let issued = self.tracked.logins.issued();
        let leases = match applied {
            Some(applied) if !issued.is_empty() => {
                let mut leases = records(&issued, &applied.hash, before);
                // What is journalled and not in the Secret yet.
                leases.extend(
                    before
                        .iter()
                        .filter(|_| live.pending.is_some())
                        .filter(|lease| lease.hash != applied.hash)
                        .cloned(),
                );
                leases
            }
            Some(applied) => {
                let own =
                    |lease: &&LeaseRecord| lease.hash == applied.hash || live.pending.is_some();
                before.iter().filter(own).cloned().collect()
            }
            None => before.to_vec(),
        };
        let generation = self.bundle.metadata.generation;
        let current = applied.is_some_and(|applied| applied.wish.generation == generation);
        let seen = self.operator.world.secret(&self.secret);
        let untouched = applied
            .zip(seen)
            .is_some_and(|(applied, seen)| applied.resource_version == seen.resource_version);
        Facts {
            generation,
            refresh_at: match applied {
                Some(applied) => applied.wish.refresh_at.clone(),
                None => earlier.and_then(|earlier| earlier.observed_refresh_at.clone()),
            },
            problem,
            in_sync: current && (problem.is_none() || untouched),
            lease_healthy: (!leases.is_empty()).then_some(problem.is_none()),
            secret: applied
                .map(Applied::record)
                .or_else(|| earlier?.secret.clone()),
            leases,
        }
    }

    /// An event when something turned, not at every attempt.
    fn tell(&self, earlier: Option<&SecretBundleStatus>, live: &Live, problem: Option<&Problem>) {
        let ready = |status: &SecretBundleStatus| {
            status
                .conditions
                .iter()
                .find(|one| one.type_ == "Ready")
                .cloned()
        };
        let before = earlier.and_then(ready);
        match problem {
            Some(problem) => {
                tracing::warn!("{}: {problem}", self.key);
                let note = format!("the Secret is kept as it is: {}", problem.message);
                self.post("Warning", problem.reason, &note);
            }
            None => {
                let hash = earlier
                    .and_then(|earlier| earlier.secret.as_ref())
                    .map(|secret| &secret.hash);
                let changed = live.applied.as_ref().map(|applied| &applied.hash) != hash;
                if changed || before.is_none_or(|before| before.status != "True") {
                    tracing::debug!("{}: synced", self.key);
                    let note =
                        format!("Secret {} holds what the server has", self.sync.secret_name);
                    self.post("Normal", "Synced", &note);
                }
            }
        }
    }

    fn post(&self, type_: &str, reason: &str, note: &str) {
        self.operator
            .events
            .post(&self.item.about(), type_, reason, note);
    }
}

/// Whether two statuses say the same. That a Secret has another version with the same content is not said.
fn same(one: &SecretBundleStatus, other: &SecretBundleStatus) -> bool {
    let content = |status: &SecretBundleStatus| {
        let mut status = status.clone();
        if let Some(secret) = &mut status.secret {
            secret.resource_version = None;
        }
        status
    };
    let version = |status: &SecretBundleStatus| {
        status
            .secret
            .as_ref()
            .map(|secret| (secret.hash.clone(), secret.resource_version.is_some()))
    };
    content(one) == content(other) && version(one) == version(other)
}
