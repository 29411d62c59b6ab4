//! What an earlier process had: credentials to keep alive, and credentials that nobody uses.

use std::sync::Arc;

use envlatch_vault::{Auth, Secret, Session};

use super::{Bundles, Mounted};
use crate::journal::State;
use crate::revoker::Login;
use crate::store::{Access, grant};
use crate::volume::Volume;

impl Bundles {
    /// Goes on with what an earlier process had for a mounted volume: what was issued for it is renewed at once, and not only
    /// when kubelet calls. `state` is what was to be remembered for it.
    pub fn resume(&self, volume_id: &str, state: &Secret) {
        let Some(state) = State::of_bytes(state) else {
            return;
        };
        let (Some(private), Some(access)) = (&state.private, access(&state)) else {
            return;
        };
        // A store that cannot be used any more is said to the user at the next refresh.
        let Ok(server) = self.fetcher.server(&access) else {
            return;
        };
        let logins = &self.volume(volume_id).logins;
        let jwt = Secret::default();
        self.fetcher
            .go_on(&access, &jwt, &server, logins, private, 0.0);
    }

    /// Revokes what only files that never took effect held.
    pub(super) fn abandon(&self, volume: &Volume, mounted: &Mounted) {
        let state = |bytes: &Option<Secret>| bytes.as_ref().and_then(State::of_bytes);
        let Some(abandoned) = state(&mounted.abandoned) else {
            return;
        };
        let token = abandoned.private_token();
        let in_force = state(&mounted.state).and_then(|state| state.private_token());
        if token.is_none() || token == in_force || volume.logins.has_private() {
            return;
        }
        if let Some(login) = self.journalled_login(&abandoned) {
            self.fetcher.revoke(login);
        }
    }

    /// The login that an earlier process had for a volume alone.
    pub(super) fn journalled_login(&self, state: &State) -> Option<Login> {
        let private = state.private.as_ref()?;
        let server = self.fetcher.server(&access(state)?).ok()?;
        let auth = Auth::Token(private.token());
        let session = Session::new(server.client.clone(), auth);
        session.adopt(private.token());
        Some(Login {
            session: Arc::new(session),
            origin: Arc::clone(&server.origin),
        })
    }
}

/// What the volume's class got when it was filled.
fn access(state: &State) -> Option<Access> {
    let plan = state.class.plan().ok()?;
    grant(&plan.claim, &state.store, &state.class.namespace).ok()
}
