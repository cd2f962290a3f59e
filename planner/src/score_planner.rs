//! From a score node to its execution plan.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use tamis_udfs::runtime::{QueryScores, Scoring};

use crate::sieve::Sieve;
use crate::small_batches::let_rows_through;
use crate::whole_keys::with_whole_keys;
use crate::{FetchPlanner, ScoreExec, ScoreNode, ScoreSettings};

/// Plans a [`ScoreNode`] as a [`ScoreExec`]. The model's name is checked here, so that a wrong one fails before
/// anything runs; the model is not loaded.
///
/// The score nodes that one planner plans belong to one query: rows of equal content are scored once among them all.
#[derive(Debug, Default)]
pub struct ScorePlanner {
    scores: Arc<QueryScores>,
    /// Whether the model is somebody else's to find.
    is_unchecked: bool,
}

impl ScorePlanner {
    fn plan(
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
        let call = node.call();
        if !self.is_unchecked {
            Scoring::check(&call.family, call.model.as_deref(), session.config_options())?;
        }
        let physical = |expr: &Expr| planner.create_physical_expr(expr, logical_input.schema(), session, context);
        let args = node.call().args.iter().map(physical).collect::<Result<Vec<_>>>()?;
        let sieve = node.sieve().and_then(|Sieve { predicate, enough, ends }| {
            // A hint whose columns are gone is none any more.
            let schema = UserDefinedLogicalNodeCore::schema(node);
            let predicate = planner.create_physical_expr(predicate, schema, session, context).ok()?;
            Some(Sieve { predicate, enough: *enough, ends: *ends })
        });
        let settings = ScoreSettings {
            call: node.call().with_args(args),
            when: node.when().map(physical).transpose()?,
            columns: node.columns().clone(),
            unread: node.unread_indices(),
            sieve,
        };
        let exec = ScoreExec::try_new(Arc::clone(input), settings, Arc::clone(&self.scores))?;
        Ok(Some(Arc::new(exec)))
    }
}

// As `async_trait` has it, but for what its futures hold: nothing that leads to a plan (docs/adr/0012).
impl ExtensionPlanner for ScorePlanner {
    fn plan_extension<'a, 'b, 'c, 'd, 'e, 'g, 'h, 'i, 'f>(
        &'a self,
        planner: &'b dyn PhysicalPlanner,
        node: &'c dyn UserDefinedLogicalNode,
        logical_inputs: &'d [&'e LogicalPlan],
        physical_inputs: &'g [Arc<dyn ExecutionPlan>],
        session: &'h dyn Session,
        context: &'i PhysicalPlanningContext,
    ) -> BoxFuture<'f, Result<Option<Arc<dyn ExecutionPlan>>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
        'e: 'f,
        'g: 'f,
        'h: 'f,
        'i: 'f,
        Self: 'f,
    {
        ready(self.plan(planner, node, logical_inputs, physical_inputs, session, context)).boxed()
    }
}

/// DataFusion's physical planner, which also knows score and fetch nodes.
#[derive(Debug, Default)]
pub struct ScoreQueryPlanner {
    is_unchecked: bool,
}

impl ScoreQueryPlanner {
    /// A planner that does not look for models: the plan runs elsewhere, and they are there.
    pub fn unchecked() -> Self {
        Self { is_unchecked: true }
    }
}

// As `async_trait` has it, but for what its futures hold: nothing that leads to a plan (docs/adr/0012).
impl QueryPlanner for ScoreQueryPlanner {
    fn create_physical_plan<'a, 'b, 'c, 'f>(
        &'a self,
        plan: &'b LogicalPlan,
        session: &'c dyn Session,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        Self: 'f,
    {
        create_physical_plan(self.is_unchecked, plan, session)
    }
}

fn create_physical_plan<'f>(
    is_unchecked: bool,
    plan: &'f LogicalPlan,
    session: &'f dyn Session,
) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>> {
    let planners: Vec<Arc<dyn ExtensionPlanner + Send + Sync>> =
        vec![Arc::new(ScorePlanner { is_unchecked, ..ScorePlanner::default() }), Arc::new(FetchPlanner)];
    let planner = DefaultPhysicalPlanner::with_extension_planners(planners);
    Box::pin(async move { let_rows_through(with_whole_keys(planner.create_physical_plan(plan, session).await?)?) })
}
