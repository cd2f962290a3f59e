//! Best rows by the whole of their key.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

/// The plan with partitions' best rows found by the key that they are merged by.
///
/// Where a column of the key is a constant in each partition, another in each, DataFusion leaves it out of the sort of a partition. The
/// bound that the best rows of one partition give is one for all of them, and without that column it is wrong for the others
/// (docs/upstream.md, 21).
pub(crate) fn with_whole_keys(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        let Some(merge) = node.downcast_ref::<SortPreservingMergeExec>() else { return Ok(Transformed::no(node)) };
        let Some(sort) = merge.input().downcast_ref::<SortExec>() else { return Ok(Transformed::no(node)) };
        if sort.fetch().is_none() || sort.expr() == merge.expr() {
            return Ok(Transformed::no(node));
        }
        let whole = SortExec::new(merge.expr().clone(), Arc::clone(sort.input())).with_fetch(sort.fetch());
        let whole = whole.with_preserve_partitioning(sort.preserve_partitioning());
        let merged = SortPreservingMergeExec::new(merge.expr().clone(), Arc::new(whole)).with_fetch(merge.fetch());
        Ok(Transformed::yes(Arc::new(merged) as _))
    })?;
    Ok(plan.data)
}
