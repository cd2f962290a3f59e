//! How much a cluster does at once, and how finely scans are cut for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use tamis_files::tables::{Spread, spread};

/// How many tasks the executors of a cluster run at once, as far as is known: none at first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots(Arc<AtomicUsize>);

impl Slots {
    /// Notes how many there are.
    pub(super) fn set(&self, slots: usize) {
        self.0.store(slots, Ordering::Relaxed);
    }

    /// How many there are.
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// So many tasks of a scoring job there are for each slot: when one ends sooner, its executor takes another.
const TASKS_A_SLOT: usize = 4;

impl Slots {
    /// The scans below models of a plan, cut finely enough for all slots.
    pub(crate) fn spread(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<SessionContext>,
    ) -> BoxFuture<'static, Result<Vec<Spread>>> {
        let slots = self.get();
        Box::pin(async move {
            let state = context.state();
            let wanted = state.config().target_partitions().max(slots.saturating_mul(TASKS_A_SLOT));
            spread(&plan, &state, wanted).await
        })
    }
}
