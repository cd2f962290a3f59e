//! Planning for a cluster: as for one process, and spread over its executors.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use tamis_planner::ScoreQueryPlanner;

/// The planner of a scheduler's sessions. Models are the executors' business: that there is one of a name is not looked at
/// here.
#[derive(Debug)]
pub(super) struct ClusterPlanner {
    planner: ScoreQueryPlanner,
}

impl Default for ClusterPlanner {
    fn default() -> Self {
        Self { planner: ScoreQueryPlanner::unchecked() }
    }
}

#[async_trait]
impl QueryPlanner for ClusterPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.planner.create_physical_plan(plan, session).await?;
        crate::tables::spread(plan, session).await
    }
}
