//! Whether everything is in place. Mostly that is known without asking anybody: the Secret's version is the one that was written.

use envlatch_api::LeaseRecord;
use envlatch_bundle::{Access, Plan, Problem};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;
use tokio::time::Instant;

use super::{Turn, unread};
use crate::ownership::{has_metadata, keys_of};
use crate::schedule::phase;
use crate::tracked::{Applied, Live, Wish, replace_after};
use crate::write::Version;

/// How the Secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// As it should be, and young enough
    Right,
    /// As it was written, but the server is to be asked again
    Old,
    /// Not as it was written
    Wrong,
    /// Never written, as far as anybody knows
    New,
}

// === impl Turn ===

impl Turn<'_> {
    pub(super) async fn place(
        &self,
        live: &mut Live,
        wish: &Wish,
        access: &Access,
        plan: &Plan,
    ) -> Result<Place, Problem> {
        if !live.continued {
            self.take_over(live, wish, access, plan).await?;
            live.continued = true;
        }
        let Some(applied) = live.applied.clone() else {
            return Ok(Place::New);
        };
        if applied.name != self.sync.secret_name {
            // Another name is another Secret; the one before stays, as if the bundle had been deleted.
            live.applied = None;
            return Ok(Place::New);
        }
        if !self.is_untouched(live, &applied).await? {
            return Ok(Place::Wrong);
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
        let old = applied.wish != *wish
            || live.pending.is_some()
            || is_due(live.refresh)
            || is_due(live.replace)
            || self.tracked.logins.must_be_replaced(access);
        Ok(if old { Place::Old } else { Place::Right })
    }

    /// Whether the Secret holds what was written. Whoever moved its version may have changed nothing of ours.
    async fn is_untouched(&self, live: &mut Live, applied: &Applied) -> Result<bool, Problem> {
        match self.operator.world.secret(&self.secret) {
            Some(seen)
                if seen.uid == applied.uid && seen.resource_version == applied.resource_version =>
            {
                Ok(true)
            }
            Some(_) => {
                let Some((version, hash)) = self.read().await? else {
                    return Ok(false);
                };
                let same = hash == applied.hash;
                if let (true, Some(applied)) = (same, &mut live.applied) {
                    (applied.uid, applied.resource_version) =
                        (version.uid.clone(), version.resource_version.clone());
                }
                Ok(same)
            }
            None => {
                // Somebody wants another credential, or had reason to remove this one.
                self.operator
                    .fetcher
                    .forget(&self.uid, &self.tracked.logins);
                Ok(false)
            }
        }
    }

    /// Continues what an earlier process did for this bundle, as far as the status and the Secret tell.
    async fn take_over(
        &self,
        live: &mut Live,
        wish: &Wish,
        access: &Access,
        plan: &Plan,
    ) -> Result<(), Problem> {
        let leases: Vec<LeaseRecord> = self
            .bundle
            .status
            .as_ref()
            .map(|status| status.leases.clone())
            .unwrap_or_default();
        let told = Applied::of_status(self.bundle, wish);
        let hash = told.as_ref().map(|told| told.hash.clone());
        let unsure = leases
            .iter()
            .any(|lease| Some(&lease.hash) != hash.as_ref());
        live.applied = if unsure {
            self.read_journalled(&leases, wish).await?.or(told)
        } else {
            told
        };
        let resumed = self.operator.resume(self.bundle, access, self.tracked)?;
        let Some(applied) = &live.applied else {
            return Ok(());
        };
        let now = Instant::now();
        let unwritten = leases.iter().any(|lease| lease.hash != applied.hash);
        live.refresh = if unwritten && resumed {
            // What was issued last is not in the Secret yet.
            Some(now)
        } else {
            plan.refresh
                .map(|interval| now + phase(&self.uid, interval))
        };
        live.replace = replace_after(&leases, &applied.hash, Timestamp::now())
            .filter(|_| !resumed)
            .map(|after| now + after);
        Ok(())
    }

    /// The Secret, if it holds what was journalled for it before the process ended.
    async fn read_journalled(
        &self,
        leases: &[LeaseRecord],
        wish: &Wish,
    ) -> Result<Option<Applied>, Problem> {
        let Some((version, hash)) = self.read().await? else {
            return Ok(None);
        };
        let journalled = leases.iter().any(|lease| lease.hash == hash);
        Ok(journalled.then(|| Applied {
            wish: wish.clone(),
            name: self.sync.secret_name.clone(),
            uid: version.uid,
            hash,
            resource_version: version.resource_version,
        }))
    }

    /// The version of the Secret and the hash of what the bundle put there.
    async fn read(&self) -> Result<Option<(Version, String)>, Problem> {
        let api: Api<Secret> = Api::namespaced(self.operator.client.clone(), &self.key.namespace);
        let name = &self.sync.secret_name;
        let found = api
            .get_opt(name)
            .await
            .map_err(|error| unread(&format!("Secret {name}"), error))?;
        let Some(found) = found else {
            return Ok(None);
        };
        let data = found.data.clone().unwrap_or_default();
        let mut own: Vec<&str> = keys_of(&found, &self.uid).collect();
        own.sort_unstable();
        let parts = own
            .iter()
            .filter_map(|key| Some((*key, data.get(*key)?.0.as_slice())));
        let mut hash = self
            .operator
            .hasher
            .hash(found.type_.as_deref().unwrap_or("Opaque"), parts);
        if !has_metadata(&found, self.sync) || found.uid().is_none() {
            hash.clear();
        }
        Ok(Some((Version::of(&found), hash)))
    }
}
