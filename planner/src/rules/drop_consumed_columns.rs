//! The rule that ends a column's values at the score node that is the last to read them.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::is_enabled;
use crate::ScoreNode;

/// Tells a score node which of the columns that it reads nobody above it does: there the images end.
///
/// ```sql
/// SELECT uid FROM t WHERE unifilter(image, text) >= 2
/// ```
///
/// ```text
/// Projection: t.uid                                  Projection: t.uid
///   Filter: __unifilter_1 >= 2                         Filter: __unifilter_1 >= 2
///     ScoreNode: unifilter(t.image, t.text)     =>       ScoreNode: unifilter(t.image, t.text), unread=[t.image, t.text]
///       TableScan: t                                       TableScan: t
/// ```
///
/// DataFusion would leave out the images in the next projection or filter; until then they would be held for every row
/// that waits for the device. The columns stay, without values, for DataFusion takes it that a plan which keeps its
/// input's order has its input's columns in their places: it moves sorts below it by number.
///
/// The rule comes last, when all others have said what they read, and is right again after each pass.
#[derive(Debug, Default)]
pub struct DropConsumedColumns;

impl OptimizerRule for DropConsumedColumns {
    fn name(&self) -> &str {
        "drop_consumed_columns"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !is_enabled(config) {
            return Ok(Transformed::no(plan));
        }
        drop_consumed(plan, &Wanted::All)
    }
}

/// Which columns of a plan are read above it, by their places.
#[derive(Debug, Clone)]
enum Wanted {
    All,
    Only(BTreeSet<usize>),
}

impl Wanted {
    /// The columns that `exprs` read.
    fn by<'a>(exprs: impl IntoIterator<Item = &'a Expr>, schema: &DFSchema) -> Self {
        let columns = exprs.into_iter().flat_map(Expr::column_refs);
        Self::Only(columns.filter_map(|column| schema.maybe_index_of_column(column)).collect())
    }

    /// These and those that `exprs` read.
    fn and_by<'a>(&self, exprs: impl IntoIterator<Item = &'a Expr>, schema: &DFSchema) -> Self {
        match (self, Self::by(exprs, schema)) {
            (Self::Only(wanted), Self::Only(read)) => Self::Only(wanted | &read),
            _ => Self::All,
        }
    }

    fn contains(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(wanted) => wanted.contains(&index),
        }
    }
}

fn drop_consumed(plan: LogicalPlan, wanted: &Wanted) -> Result<Transformed<LogicalPlan>> {
    if let Some(node) = ScoreNode::downcast(&plan) {
        return drop_in(node.clone(), wanted);
    }
    // An expression that holds a subquery reads columns that do not show.
    let mut has_subquery = false;
    plan.apply_subqueries(|_| {
        has_subquery = true;
        Ok(TreeNodeRecursion::Stop)
    })?;
    let below = match &plan {
        _ if has_subquery => Wanted::All,
        LogicalPlan::Projection(projection) => Wanted::by(&projection.expr, projection.input.schema()),
        LogicalPlan::Filter(filter) => wanted.and_by([&filter.predicate], filter.input.schema()),
        LogicalPlan::Sort(sort) => wanted.and_by(sort.expr.iter().map(|sort| &sort.expr), sort.input.schema()),
        LogicalPlan::Limit(_) | LogicalPlan::SubqueryAlias(_) => wanted.clone(),
        LogicalPlan::Aggregate(aggregate) => {
            Wanted::by(aggregate.group_expr.iter().chain(&aggregate.aggr_expr), aggregate.input.schema())
        }
        _ => Wanted::All,
    };
    plan.map_children(|input| drop_consumed(input, &below))
}

fn drop_in(node: ScoreNode, wanted: &Wanted) -> Result<Transformed<LogicalPlan>> {
    let schema = node.input().schema();
    let place = |column: &Column| schema.maybe_index_of_column(column);
    let read: BTreeSet<usize> = node.columns_read().filter_map(place).collect();
    // A sieve is over the node's output.
    let sieved = node.sieve().map(|sieve| &sieve.predicate);
    let wanted = wanted.and_by(sieved, UserDefinedLogicalNodeCore::schema(&node));
    let unread = read.iter().filter(|&&index| !wanted.contains(index));
    let unread: Vec<Column> = unread.map(|&index| Column::from(schema.qualified_field(index))).collect();
    let below = match &wanted {
        Wanted::All => Wanted::All,
        Wanted::Only(wanted) => Wanted::Only(wanted | &read),
    };
    let input = drop_consumed(node.input().clone(), &below)?;
    if !input.transformed && unread == node.unread() {
        return Ok(Transformed::no(node.into_plan()));
    }
    Ok(Transformed::yes(node.with_input(input.data)?.with_unread(unread).into_plan()))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
    use datafusion::optimizer::OptimizerContext;

    use super::super::test_plans::scored;
    use super::*;

    fn rewritten(plan: LogicalPlanBuilder) -> Option<String> {
        let plan = plan.build().unwrap();
        let rewritten = DropConsumedColumns.rewrite(plan.clone(), &OptimizerContext::new()).unwrap();
        assert_eq!(rewritten.data.schema(), plan.schema());
        let again = DropConsumedColumns.rewrite(rewritten.data.clone(), &OptimizerContext::new()).unwrap();
        assert!(!again.transformed, "{}", again.data.display_indent());
        rewritten.transformed.then(|| rewritten.data.display_indent().to_string())
    }

    #[test]
    fn what_nobody_reads_ends_at_the_node() {
        let plan = scored().filter(col("__q").gt(lit(2_f32))).unwrap().alias("x").unwrap();
        let plan = plan.sort([col("x.text").sort(true, true)]).unwrap().project([col("x.width")]).unwrap();
        let text = rewritten(plan).unwrap();
        assert!(text.contains("unread=[t.image]"), "{text}");
    }

    #[test]
    fn a_call_above_reads_too() {
        let plan = scored().project([col("t.image"), col("__q")]).unwrap();
        assert!(rewritten(plan).unwrap().contains("unread=[t.text]"));
        let plan = scored().project([col("t.image"), col("t.text"), col("__q")]).unwrap();
        assert_eq!(rewritten(plan), None);
    }

    #[test]
    fn a_column_that_has_come_to_be_read_has_its_values_again() {
        let node = ScoreNode::downcast(&scored().build().unwrap()).unwrap().clone();
        let node = node.with_unread(vec![Column::from("t.image")]).into_plan();
        let text = rewritten(LogicalPlanBuilder::from(node)).unwrap();
        assert!(!text.contains("unread"), "{text}");
    }

    #[test]
    fn the_root_and_a_union_read_everything() {
        let union = LogicalPlanBuilder::from(scored().build().unwrap()).union(scored().build().unwrap()).unwrap();
        for plan in [scored(), scored().filter(col("__q").gt(lit(2_f32))).unwrap(), union] {
            assert_eq!(rewritten(plan), None);
        }
    }
}
