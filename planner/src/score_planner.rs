//! From a score node to its execution plan.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use tamis_udfs::runtime::Scoring;

use crate::{ScoreExec, ScoreNode};

/// Plans a [`ScoreNode`] as a [`ScoreExec`]. The model's name is checked here, so that a wrong one fails before
/// anything runs; the model is not loaded.
#[derive(Debug, Default)]
pub struct ScorePlanner;

#[async_trait]
impl ExtensionPlanner for ScorePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<ScoreNode>() else { return Ok(None) };
        let ([logical_input], [input]) = (logical_inputs, physical_inputs) else { return Ok(None) };
        Scoring::check(node.family(), node.model(), session.config_options())?;
        let args = node
            .args()
            .iter()
            .map(|arg| planner.create_physical_expr(arg, logical_input.schema(), session, context))
            .collect::<Result<Vec<_>>>()?;
        let exec = ScoreExec::try_new(
            Arc::clone(input),
            node.family(),
            node.model().map(Into::into),
            args,
            node.score(),
            node.error().map(Into::into),
        )?;
        Ok(Some(Arc::new(exec)))
    }
}

/// DataFusion's physical planner, which also knows score nodes.
#[derive(Debug, Default)]
pub struct ScoreQueryPlanner;

#[async_trait]
impl QueryPlanner for ScoreQueryPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(ScorePlanner)])
            .create_physical_plan(plan, session)
            .await
    }
}
