//! From a fetch node to its execution plan.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use crate::{FetchExec, FetchNode};

/// Plans a [`FetchNode`] as a [`FetchExec`].
#[derive(Debug, Default)]
pub struct FetchPlanner;

fn plan(
    node: &dyn UserDefinedLogicalNode,
    logical_inputs: &[&LogicalPlan],
    physical_inputs: &[Arc<dyn ExecutionPlan>],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(node) = node.as_any().downcast_ref::<FetchNode>() else { return Ok(None) };
    let ([logical_input], [input]) = (logical_inputs, physical_inputs) else { return Ok(None) };
    let schema = logical_input.schema();
    let (file, row) = (schema.index_of_column(node.file())?, schema.index_of_column(node.row())?);
    let columns = node.columns().iter().map(|column| (column.place, Arc::clone(&column.field))).collect();
    Ok(Some(Arc::new(FetchExec::try_new(Arc::clone(input), node.table().source().row_reader(), file, row, columns)?)))
}

// As `async_trait` has it, but for what its futures hold: nothing that leads to a plan (docs/adr/0012).
impl ExtensionPlanner for FetchPlanner {
    fn plan_extension<'a, 'b, 'c, 'd, 'e, 'g, 'h, 'i, 'f>(
        &'a self,
        _planner: &'b dyn PhysicalPlanner,
        node: &'c dyn UserDefinedLogicalNode,
        logical_inputs: &'d [&'e LogicalPlan],
        physical_inputs: &'g [Arc<dyn ExecutionPlan>],
        _session: &'h dyn Session,
        _context: &'i PhysicalPlanningContext,
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
        ready(plan(node, logical_inputs, physical_inputs)).boxed()
    }
}
