//! Batches of few rows where a row weighs much.
//!
//! DataFusion's filters, joins and repartitions put rows together until there are 8,192. As many images are gigabytes, and
//! more than the offsets of one array can tell.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use crate::ScoreExec;
use crate::heavy::is_heavy;

/// Rows with images that are put together at most. A model takes longer for a row than DataFusion for a batch.
const HEAVY_ROWS: usize = 16;

/// The context in which a plan of this schema is executed so that what stands below puts few heavy rows together.
pub(crate) fn for_heavy_rows(schema: &Schema, context: Arc<TaskContext>) -> Arc<TaskContext> {
    let config = context.session_config();
    if !holds_images(schema) || config.batch_size() <= HEAVY_ROWS {
        return context;
    }
    Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        config.clone().with_batch_size(HEAVY_ROWS),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    ))
}

/// Takes out of a plan what holds rows back, or asks for more than are wanted, between a model and its reader.
///
/// A filter has its number of rows from the plan, and gives none until it has as many or no more input: here it gives as
/// many as are wanted, or few heavy ones. A round-robin repartition reads ahead on its own: over a node of which a number of
/// rows is wanted it goes, for it would spread rows that the device gives one after the other.
pub(crate) fn let_rows_through(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let changed = plan.transform_up(|node| {
        if let Some(repartition) = node.downcast_ref::<RepartitionExec>() {
            let is_round_robin = matches!(repartition.partitioning(), Partitioning::RoundRobinBatch(_));
            if is_round_robin && wanted_of(repartition.input()).is_some() {
                return Ok(Transformed::yes(Arc::clone(repartition.input())));
            }
        }
        let Some(filter) = node.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(node)) };
        let rows = rows_at_once(filter);
        if rows >= filter.batch_size() {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::yes(Arc::new(filter.with_batch_size(rows)?) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(changed.data)
}

fn rows_at_once(filter: &FilterExec) -> usize {
    let heavy = if holds_images(&filter.schema()) { HEAVY_ROWS } else { usize::MAX };
    heavy.min(wanted_of(filter.input()).unwrap_or(usize::MAX)).max(1)
}

/// How many rows are wanted of the score node that `plan` is, or a projection over it.
fn wanted_of(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    match plan.downcast_ref::<ProjectionExec>() {
        Some(projection) => wanted_of(projection.input()),
        None => plan.downcast_ref::<ScoreExec>()?.sieve().map(|sieve| sieve.enough),
    }
}

fn holds_images(schema: &Schema) -> bool {
    schema.fields().iter().any(|field| is_heavy(field.data_type()))
}
