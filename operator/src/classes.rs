//! SecretProviderClasses while the operator leads: each of their `secretObjects` is kept like a bundle.

use std::collections::HashSet;

use envlatch_api::SecretProviderClass;

use crate::item::Item;
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
}
