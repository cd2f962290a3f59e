//! From a fetch node to its execution plan.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use crate::{FetchExec, FetchNode};

/// Plans a [`FetchNode`] as a [`FetchExec`].
#[derive(Debug, Default)]
pub struct FetchPlanner;

#[async_trait]
impl ExtensionPlanner for FetchPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<FetchNode>() else { return Ok(None) };
        let ([logical_input], [input]) = (logical_inputs, physical_inputs) else { return Ok(None) };
        let schema = logical_input.schema();
        let (file, row) = (schema.index_of_column(node.file())?, schema.index_of_column(node.row())?);
        let columns = node.columns().iter().map(|column| (column.place, Arc::clone(&column.field))).collect();
        Ok(Some(Arc::new(FetchExec::try_new(
            Arc::clone(input),
            node.table().source().row_reader(),
            file,
            row,
            columns,
        )?)))
    }
}
