//! Planning for a cluster: as for one process, and spread over its executors.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use tamis_files::tables::spread;
use tamis_planner::ScoreQueryPlanner;

/// The planner of a scheduler's sessions. Models are the executors' business: that there is one of a name is not looked at
/// here.
#[derive(Debug)]
pub(super) struct ClusterPlanner {
    planner: ScoreQueryPlanner,
    slots: Slots,
}

impl ClusterPlanner {
    /// A planner for a cluster of so many slots.
    pub(super) fn new(slots: Slots) -> Self {
        Self { planner: ScoreQueryPlanner::unchecked(), slots }
    }
}

/// How many tasks the executors of a cluster run at once, as far as is known: none at first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots(Arc<AtomicUsize>);

impl Slots {
    /// Notes how many there are.
    pub(super) fn set(&self, slots: usize) {
        self.0.store(slots, Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// So many tasks of a scoring stage there are for each slot: when one ends sooner, its executor takes another.
const TASKS_A_SLOT: usize = 4;

// As `async_trait` has it, but for what the future holds: not the logical plan, which the compiler would look through.
impl QueryPlanner for ClusterPlanner {
    fn create_physical_plan<'a, 'b, 'c, 'f>(
        &'a self,
        plan: &'b LogicalPlan,
        session: &'c dyn Session,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'f>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        Self: 'f,
    {
        let planned = self.planner.create_physical_plan(plan, session);
        let slots = self.slots.clone();
        Box::pin(async move {
            let plan = planned.await?;
            let wanted = session.config().target_partitions().max(slots.get().saturating_mul(TASKS_A_SLOT));
            spread(plan, session, wanted).await
        })
    }
}
