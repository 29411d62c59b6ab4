//! A bundle that another replica worked on a moment ago: the watch may not have told yet what was journalled, so it is read once.

use std::sync::Arc;
use std::time::Duration;

use envlatch_api::SecretBundle;
use kube::ResourceExt;
use kube::api::Api;
use tokio::time::Instant;

use crate::item::Item;
use crate::operator::Operator;
use crate::queue::Class;
use crate::tracked::Live;
use crate::world::Key;
use crate::write::api_problem;

/// How soon it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

// === impl Operator ===

impl Operator {
    /// The bundle to work on; `None` when that is not known now, or there is nothing to do any more.
    pub(super) async fn up_to_date(
        &self,
        key: &Key,
        item: Arc<Item>,
        live: &Live,
    ) -> Option<Arc<Item>> {
        if live.continued || !self.shards.is_late(key) || !item.has_status() {
            return Some(item);
        }
        let api: Api<SecretBundle> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.get_opt(&key.name).await {
            Ok(found) => found
                .filter(|found| found.uid() == item.uid())
                .map(|found| Arc::new(Item::from(found))),
            Err(error) => {
                tracing::warn!("{key}: {}", api_problem("the bundle", error));
                self.want(key.clone(), Class::Timer, Instant::now() + AGAIN);
                None
            }
        }
    }
}
