//! SecretProviderClasses while the operator leads: each of their `secretObjects` is kept like a bundle.

use std::collections::HashSet;

use envlatch_api::SecretProviderClass;
use envlatch_bundle::About;
use kube::ResourceExt;

use crate::item::{CLASS, Item, SYNC_ACCOUNT};
use crate::operator::Operator;
use crate::world::Key;

/// Providers whose classes are ours to read; those of others stay with the Secrets Store CSI Driver.
const PROVIDERS: [&str; 2] = ["vault", "openbao"];

// === impl Operator ===

impl Operator {
    /// A class is new or has changed.
    pub(crate) fn saw_class(&self, class: &SecretProviderClass) {
        let provider = class.spec.provider.as_deref().unwrap_or_default();
        let items = if PROVIDERS.contains(&provider) {
            self.ask_for_account(class);
            Item::of_class(class)
        } else {
            Vec::new()
        };
        let present: HashSet<&Key> = items.iter().map(|(key, _)| key).collect();
        for key in self.world.objects_of(&Key::of(class)) {
            if !present.contains(&key) {
                self.lost(&key);
            }
        }
        for (_, item) in items {
            self.saw(item);
        }
    }

    /// A class is gone. Its Secrets stay.
    pub(crate) fn lost_class(&self, class: &Key) {
        for key in self.world.objects_of(class) {
            self.lost(&key);
        }
    }

    /// Says what is missing, when something is to be synced and nobody is named to log in as.
    fn ask_for_account(&self, class: &SecretProviderClass) {
        let objects = class.spec.secret_objects.as_deref().unwrap_or_default();
        if objects.is_empty() || class.annotations().contains_key(SYNC_ACCOUNT) {
            return;
        }
        let about = About {
            api_version: CLASS.0,
            kind: CLASS.1,
            name: &class.name_any(),
            namespace: &class.namespace().unwrap_or_default(),
            uid: &class.uid().unwrap_or_default(),
            action: "Sync",
        };
        let note = format!(
            "secretObjects are not synced: no pod is waited for, so name the service account to log in as in the annotation {SYNC_ACCOUNT}"
        );
        self.events
            .post(&about, "Warning", "SyncAccountMissing", &note);
    }
}
