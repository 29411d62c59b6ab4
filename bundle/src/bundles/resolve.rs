//! What a volume's class and its store are at the moment.

use std::sync::Arc;

use envlatch_api::VaultStore;

use super::Bundles;
use crate::Problem;
use crate::class::{Class, ClassName};
use crate::follow::Latest;
use crate::plan::Plan;
use crate::problem::Code;
use crate::store::choose;
use crate::volume::Live;

/// A volume's class as it is now, and the store that it resolves to.
pub(super) struct Target {
    pub(super) class: Class,
    pub(super) store: VaultStore,
    pub(super) plan: Plan,
}

impl Bundles {
    /// The class and its store as they are; while the API server is away, as they were.
    pub(super) async fn resolve(
        &self,
        name: &ClassName,
        live: &mut Live,
    ) -> Result<Target, Problem> {
        let unread = |problem: &Problem| problem.code == Code::Unavailable;
        let followed = match &live.followed {
            Some(followed) if matches!(followed.latest(), Latest::Present(_)) => {
                Ok(Arc::clone(followed))
            }
            _ => self.classes.follow(name).await,
        };
        let class = match (followed, &live.state) {
            (Ok(followed), _) => {
                live.followed = Some(Arc::clone(&followed));
                match followed.latest() {
                    Latest::Present(class) => class,
                    Latest::Deleted => {
                        return Err(Problem::new(
                            Code::NotFound,
                            "ClassNotFound",
                            format!("{name} was deleted"),
                        ));
                    }
                }
            }
            (Err(problem), Some(state)) if unread(&problem) => state.class.clone(),
            (Err(problem), _) => return Err(problem),
        };
        let plan = class.plan()?;
        self.check_names(plan.names())?;
        let store = match (self.classes.stores().await, &live.state) {
            (Ok(stores), _) => choose(&plan.claim, &stores)?.clone(),
            (Err(problem), Some(state)) if unread(&problem) => (*state.store).clone(),
            (Err(problem), _) => return Err(problem),
        };
        Ok(Target { class, store, plan })
    }
}
