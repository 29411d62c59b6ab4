//! The end of a bundle that holds something to be revoked. Its finalizer never keeps a namespace from being deleted for longer than
//! the limit, whatever the server does.

use std::time::Duration;

use envlatch_api::SecretBundle;
use envlatch_bundle::{Code, Holder, Problem};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::Turn;
use crate::operator::Operator;
use crate::queue::Class;
use crate::tracked::{Live, Tracked};
use crate::world::Key;
use crate::write::api_problem;

/// Keeps a bundle until what it was issued is revoked.
pub(crate) const FINALIZER: &str = "envlatch.io/leases";
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long to wait before the next.
const AGAIN: Duration = Duration::from_secs(10);

// === impl Turn ===

impl Turn<'_> {
    pub(super) async fn add_finalizer(&self) -> Result<(), Problem> {
        let mut finalizers = self.bundle.finalizers().to_vec();
        if finalizers.iter().any(|one| one == FINALIZER) {
            return Ok(());
        }
        finalizers.push(FINALIZER.to_owned());
        let outcome = set_finalizers(&self.operator.client, self.bundle, &finalizers).await;
        outcome.map_err(|error| api_problem("the bundle's finalizer", error))
    }
}

// === impl Operator ===

impl Operator {
    /// The bundle is being deleted.
    pub(super) async fn finish(
        &self,
        key: &Key,
        bundle: &SecretBundle,
        tracked: &Tracked,
        live: &mut Live,
    ) {
        if !bundle.finalizers().iter().any(|one| one == FINALIZER) {
            return;
        }
        if let Some((_, gathered)) = live.pending.take() {
            self.fetcher.give_up(&gathered, &tracked.logins);
        }
        if let Err(problem) = self.revoke(key, bundle, tracked, live).await {
            // By a clock that nobody sets; after a restart the time begins anew.
            let began = *live.ending.get_or_insert_with(Instant::now);
            if problem.is_transient() && began.elapsed() < self.revoke_within {
                self.want(key.clone(), Class::Timer, Instant::now() + AGAIN);
                return;
            }
            let leases: Vec<&str> = leases(bundle, live).collect();
            let note = format!(
                "not revoked, and valid until they expire: {}; {}",
                leases.join(", "),
                problem.message
            );
            tracing::warn!("{key}: {note}");
            self.tell(bundle, "Warning", "LeasesNotRevoked", &note);
        }
        let left: Vec<String> = bundle
            .finalizers()
            .iter()
            .filter(|one| *one != FINALIZER)
            .cloned()
            .collect();
        match set_finalizers(&self.client, bundle, &left).await {
            Ok(()) => {}
            Err(Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                tracing::warn!("{key}: {}", api_problem("the bundle's finalizer", error));
                self.want(key.clone(), Class::Timer, Instant::now() + AGAIN);
            }
        }
    }

    async fn revoke(
        &self,
        key: &Key,
        bundle: &SecretBundle,
        tracked: &Tracked,
        live: &mut Live,
    ) -> Result<(), Problem> {
        let access = self.access_of(key, bundle);
        if let (false, Ok(access)) = (live.continued, &access) {
            self.resume(bundle, access, tracked)?;
            live.continued = true;
        }
        if self.fetcher.end(&tracked.logins, ATTEMPT).await? {
            return Ok(());
        }
        // Nobody has the token any more. Its leases can be revoked by name where the role may.
        let ids: Vec<String> = leases(bundle, live)
            .filter(|id| !id.starts_with("certificate "))
            .map(str::to_owned)
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        let Some(sync) = &bundle.spec.sync else {
            return Err(Problem::new(
                Code::FailedPrecondition,
                "LeasesNotRevoked",
                "the bundle names no service account any more",
            ));
        };
        let access = access?;
        let token = self
            .tokens
            .token(&key.namespace, &sync.service_account, &access)
            .await?;
        let holder = Holder {
            id: &tracked.uid,
            namespace: &key.namespace,
            service_account: &sync.service_account,
            token: &token,
        };
        self.fetcher
            .revoke_leases(&access, &holder, &ids, Instant::now() + ATTEMPT)
            .await
    }
}

fn leases<'a>(bundle: &'a SecretBundle, live: &'a Live) -> impl Iterator<Item = &'a str> {
    let status = live.status.as_ref().or(bundle.status.as_ref());
    let leases = status
        .map(|status| status.leases.as_slice())
        .unwrap_or_default();
    leases.iter().map(|lease| lease.id.as_str())
}

/// Replaces the finalizers of `bundle`, which is still the one that was seen.
pub(crate) async fn set_finalizers(
    client: &Client,
    bundle: &impl ResourceExt,
    finalizers: &[String],
) -> Result<(), Error> {
    let api: Api<SecretBundle> =
        Api::namespaced(client.clone(), &bundle.namespace().unwrap_or_default());
    let patch = json!({"metadata": {"uid": bundle.uid(), "finalizers": finalizers}});
    api.patch_metadata(
        &bundle.name_any(),
        &PatchParams::default(),
        &Patch::Merge(&patch),
    )
    .await
    .map(drop)
}
