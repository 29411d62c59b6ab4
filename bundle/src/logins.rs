//! The logins of one volume, or of one bundle that is copied into a Secret: its own, and those that it had before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use envlatch_vault::{Secret, Session};
use tokio::time::Instant;

use crate::fetcher::identity;
use crate::journal::LoginState;
use crate::private::{Issued, Private};
use crate::revoker::{Login, Revoker};
use crate::store::Access;

/// The logins that are of one holder alone.
#[derive(Default)]
pub struct Logins(Mutex<Held>);

#[derive(Default)]
struct Held {
    private: Option<(String, Arc<Private>)>,
    /// Replaced, and still working for a while
    retired: Vec<Login>,
}

// === impl Logins ===

impl Logins {
    /// The login of the holder alone, if it is of this identity.
    pub(crate) fn private(&self, identity: &str) -> Option<Arc<Private>> {
        let held = self.held();
        let (own, private) = held.private.as_ref()?;
        (own == identity).then(|| Arc::clone(private))
    }

    /// Whether something that was issued for `access` ends soon and cannot be renewed.
    #[must_use]
    pub fn must_be_replaced(&self, access: &Access) -> bool {
        self.private(&identity(access))
            .is_some_and(|private| private.must_be_replaced())
    }

    /// When something that was issued is renewed or must be replaced next.
    #[must_use]
    pub fn changes(&self) -> Option<Instant> {
        self.held().private.as_ref()?.1.changes()
    }

    /// What was issued and is held.
    #[must_use]
    pub fn issued(&self) -> Vec<Issued> {
        let held = self.held();
        held.private
            .as_ref()
            .map(|(_, private)| private.issued())
            .unwrap_or_default()
    }

    /// The login behind what is held, for [`Fetcher::resume`](crate::Fetcher::resume). It has the token and the credentials in it.
    #[must_use]
    pub fn login(&self) -> Option<Secret> {
        let held = self.held();
        let (identity, private) = held.private.as_ref()?;
        Some(LoginState::of(identity, private)?.to_bytes())
    }

    pub(crate) fn has_private(&self) -> bool {
        self.held().private.is_some()
    }

    /// Notes a login before it is made, so that it is revoked even when the fetch is given up.
    pub(crate) fn prepare(&self, login: Login) {
        self.held().retired.push(login);
    }

    /// The login led to nothing.
    pub(crate) fn give_up(&self, login: Login, revoker: &Revoker) {
        self.held()
            .retired
            .retain(|other| !Arc::ptr_eq(&other.session, &login.session));
        revoker.revoke(login);
    }

    /// Uses `private`, or no login of its own, from now on. The one before ends after a while.
    pub(crate) fn replace(&self, private: Option<(String, Arc<Private>)>, revoker: &Revoker) {
        let mut held = self.held();
        if let Some((_, private)) = &private {
            // A session without a token has been revoked.
            held.retired.retain(|other| {
                other.session.held().is_some() && !Arc::ptr_eq(&other.session, &private.session)
            });
        }
        if let Some((_, replaced)) = std::mem::replace(&mut held.private, private) {
            let login = replaced.login();
            revoker.revoke_later(login.clone());
            held.retired.push(login);
        }
    }

    /// The sessions of the holder alone, which keeps them.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        let held = self.held();
        let private = held.private.iter().map(|(_, private)| &private.session);
        let retired = held.retired.iter().map(|login| &login.session);
        private.chain(retired).map(Arc::clone).collect()
    }

    /// Everything that was logged in for the holder alone, which gives it up.
    pub(crate) fn take(&self) -> Vec<Login> {
        let Held { private, retired } = std::mem::take(&mut *self.held());
        let private = private.map(|(_, private)| private.login());
        private.into_iter().chain(retired).collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Every change is one insertion or removal, so a panic elsewhere cannot have broken it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
