//! What an earlier process had: credentials to keep alive, and credentials that nobody uses.

use std::sync::Arc;

use envlatch_vault::{Auth, Secret, Session};

use super::{Bundles, Mounted};
use crate::journal::State;
use crate::revoker::Login;
use crate::store::{Access, grant};
use crate::volume::{Volume, share};

impl Bundles {
    /// Goes on with what an earlier process had for a mounted volume: what was issued for it is renewed soon, and not only when
    /// kubelet calls, and a token that it shared is revoked after the last volume that has it. `state` is what was to be remembered
    /// for it.
    pub fn resume(&self, volume_id: &str, state: &Secret) {
        let Some(state) = State::of_bytes(state) else {
            return;
        };
        if let Some(token) = state.shared_token() {
            self.fetcher.note_shared(volume_id, token);
        }
        let (Some(private), Some(access)) = (&state.private, access(&state)) else {
            return;
        };
        // A store that cannot be used any more is said to the user at the next refresh.
        let Ok(server) = self.fetcher.server(&access) else {
            return;
        };
        let logins = &self.volume(volume_id).logins;
        let (jwt, share) = (Secret::default(), share(volume_id));
        self.fetcher
            .go_on(&access, &jwt, &server, logins, private, share);
    }

    /// Revokes what only files that never took effect held.
    pub(super) fn abandon(&self, volume: &Volume, mounted: &Mounted) {
        let state = |bytes: &Option<Secret>| bytes.as_ref().and_then(State::of_bytes);
        let Some(abandoned) = state(&mounted.abandoned) else {
            return;
        };
        let token = abandoned.private_token();
        let in_force = state(&mounted.state).and_then(|state| state.private_token());
        if token == in_force || volume.logins.has_private() {
            return;
        }
        if let Some(token) = token {
            self.revoke_earlier(&abandoned, token);
        }
    }

    /// Revokes a token that an earlier process had for the volume of `state`.
    pub(super) fn revoke_earlier(&self, state: &State, token: Secret) {
        let Some(access) = access(state) else { return };
        // A store that cannot be used leads to no server that could be asked.
        let Ok(server) = self.fetcher.server(&access) else {
            return;
        };
        let session = Session::new(server.client.clone(), Auth::Token(token.clone()));
        session.adopt(token);
        self.fetcher.revoke(Login {
            session: Arc::new(session),
            origin: Arc::clone(&server.origin),
        });
    }
}

/// What the volume's class got when it was filled.
fn access(state: &State) -> Option<Access> {
    let plan = state.class.plan().ok()?;
    grant(&plan.claim, &state.store, &state.class.namespace).ok()
}
