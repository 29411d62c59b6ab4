//! The login behind what a bundle was issued: sealed in its status, so that another process goes on with it instead of having another
//! credential issued.

use envlatch_api::SecretBundle;
use envlatch_bundle::{Access, Problem, choose, from_bundle, grant};
use envlatch_vault::Secret;

use super::Turn;
use crate::operator::Operator;
use crate::schedule::share;
use crate::tracked::Tracked;
use crate::world::Key;

// === impl Turn ===

impl Turn<'_> {
    pub(super) fn sealed(&self, login: &Secret) -> String {
        self.operator.sealer.seal(&self.uid, login)
    }
}

// === impl Operator ===

impl Operator {
    /// Goes on with the login of an earlier process. Returns whether it is known and has what was issued; otherwise that must be replaced.
    pub(super) fn resume(
        &self,
        bundle: &SecretBundle,
        access: &Access,
        tracked: &Tracked,
    ) -> Result<bool, Problem> {
        let status = bundle.status.as_ref();
        let sealed = status.and_then(|status| status.login.as_deref());
        let Some(login) = sealed.and_then(|sealed| self.sealer.open(&tracked.uid, sealed)) else {
            return Ok(false);
        };
        let share = share(&tracked.uid);
        self.fetcher.resume(access, &login, &tracked.logins, share)
    }

    /// What a bundle may have, without a turn of its own.
    pub(super) fn access_of(&self, key: &Key, bundle: &SecretBundle) -> Result<Access, Problem> {
        let plan = from_bundle(&bundle.spec)?;
        let stores = self.world.stores();
        grant(&plan.claim, choose(&plan.claim, &stores)?, &key.namespace)
    }
}
