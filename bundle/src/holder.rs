//! Who asks a store: a volume of a pod, or a bundle that is copied into a Kubernetes Secret.

use crate::request::Token;
use crate::store::Access;

/// Who asks, and as which service account.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// A name that no other holder of this process has
    pub id: &'a str,
    /// Namespace of the service account
    pub namespace: &'a str,
    /// Name of the service account
    pub service_account: &'a str,
    /// A token of the service account for one of the store's audiences
    pub token: &'a Token,
}

// === impl Holder ===

impl Holder<'_> {
    /// For messages: store, role and service account.
    pub(crate) fn who(&self, access: &Access) -> String {
        format!(
            "store {}, role {}, service account {}/{}",
            access.store, access.role, self.namespace, self.service_account
        )
    }
}
