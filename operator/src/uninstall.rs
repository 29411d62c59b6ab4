//! What is left to do when the operator is uninstalled: nobody would remove the finalizers of bundles any more, so they are removed at once.
//! Nothing is revoked and no Secret is touched, because programs go on with what they have.

use envlatch_api::SecretBundle;
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::{Client, Error, ResourceExt};

use crate::turn::{FINALIZER, set_finalizers};
use crate::watch::Scope;

/// How many bundles are listed at once.
const PAGE: u32 = 500;

/// Removes the finalizer of every bundle in `scope`.
///
/// # Errors
/// The first that the API server refused.
pub(crate) async fn remove_finalizers(client: &Client, scope: &Scope) -> Result<(), Error> {
    for api in scope.apis::<SecretBundle>(client) {
        for bundle in bundles(&api).await? {
            let has = bundle.finalizers().iter().any(|one| one == FINALIZER);
            if !has {
                continue;
            }
            let mut left = bundle.finalizers().to_vec();
            left.retain(|one| one != FINALIZER);
            match set_finalizers(client, &bundle, &left).await {
                // It was being deleted, and nothing else kept it.
                Err(Error::Api(status)) if status.code == 404 => {}
                other => other?,
            }
            tracing::info!("{}: can be deleted without the operator", bundle.name_any());
        }
    }
    Ok(())
}

async fn bundles(api: &Api<SecretBundle>) -> Result<Vec<PartialObjectMeta<SecretBundle>>, Error> {
    let mut bundles = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = api.list_metadata(&parameters).await?;
        bundles.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(bundles),
        }
    }
}
