//! Filters that do not hold rows back.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::ScoreExec;
use crate::heavy::is_heavy;

/// Rows with images that a filter puts together at most.
const HEAVY_ROWS: usize = 64;

/// DataFusion's filter gives rows when it has 8,192 that pass, or no more input. Where each row took a model call, or
/// holds an image, that is too many: the filter gives as many as are wanted, or 64 rows.
pub(crate) fn filters_in_small_batches(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let small = plan.transform_up(|node| {
        let Some(filter) = node.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(node)) };
        let rows = rows_at_once(filter);
        if rows >= filter.batch_size() {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::yes(Arc::new(filter.with_batch_size(rows)?) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(small.data)
}

fn rows_at_once(filter: &FilterExec) -> usize {
    let holds_images = filter.schema().fields().iter().any(|field| is_heavy(field.data_type()));
    let heavy = if holds_images { HEAVY_ROWS } else { usize::MAX };
    heavy.min(wanted_of(filter.input()).unwrap_or(usize::MAX)).max(1)
}

/// How many rows are wanted of the score node that a filter stands on.
fn wanted_of(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    match plan.downcast_ref::<ProjectionExec>() {
        Some(projection) => wanted_of(projection.input()),
        None => plan.downcast_ref::<ScoreExec>()?.sieve().map(|sieve| sieve.enough),
    }
}
