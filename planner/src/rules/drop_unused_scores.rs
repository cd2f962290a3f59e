//! The rule that removes score nodes whose columns nobody reads.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::is_enabled;
use crate::{ScoreColumns, ScoreNode};

/// Removes each [`ScoreNode`] of which no column is read, and the error column of one whose score alone is read.
///
/// ```sql
/// SELECT count(*) FROM (SELECT width, unifilter(image, text) AS q FROM t)
/// ```
///
/// ```text
/// Aggregate: count(*)                                      Aggregate: count(*)
///   Projection:                                              Projection:
///     ScoreNode: unifilter(image, text) AS __unifilter_1 =>    TableScan: t
///       TableScan: t
/// ```
///
/// DataFusion drops a projection's expression that nobody reads, and the model call with it; a node it keeps. Score
/// columns keep their unique names up to the last projection that lets them through, so a name that is read nowhere in
/// the plan means a column that is not.
///
/// The rule comes last: `optimize_projections` has by then removed the projections that only carried the columns
/// along, and in the next pass it also drops the arguments from the scan.
#[derive(Debug, Default)]
pub struct DropUnusedScores;

impl OptimizerRule for DropUnusedScores {
    fn name(&self) -> &str {
        "drop_unused_scores"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !is_enabled(config) {
            return Ok(Transformed::no(plan));
        }
        let unused = unused_columns(&plan)?;
        if unused.is_empty() {
            return Ok(Transformed::no(plan));
        }
        plan.transform_up_with_subqueries(|node| drop_unused(node, &unused))
    }
}

/// The columns that score nodes add and nobody reads.
fn unused_columns(plan: &LogicalPlan) -> Result<HashSet<String>> {
    let mut added = HashSet::new();
    plan.apply_with_subqueries(|node| {
        if let Some(score) = ScoreNode::downcast(node) {
            // The score column of a node whose error is read stays: it is what the node is about.
            added.insert(score.columns().clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if added.is_empty() {
        return Ok(HashSet::new());
    }
    let read = names_read(plan)?;
    let mut unused = HashSet::new();
    for ScoreColumns { score, error } in added {
        let error_read = error.as_ref().is_some_and(|error| read.contains(error));
        if !error_read {
            unused.extend(error);
            unused.extend(Some(score).filter(|score| !read.contains(score)));
        }
    }
    Ok(unused)
}

fn drop_unused(node: LogicalPlan, unused: &HashSet<String>) -> Result<Transformed<LogicalPlan>> {
    let Some(score) = ScoreNode::downcast(&node) else {
        // Nodes between the score node and the projection that ends its columns lose them too.
        let stale = node.schema().fields().iter().any(|field| unused.contains(field.name()));
        return if stale { Ok(Transformed::yes(node.recompute_schema()?)) } else { Ok(Transformed::no(node)) };
    };
    if unused.contains(&score.columns().score) {
        return Ok(Transformed::yes(score.input().clone()));
    }
    match score.columns().error.as_ref().is_some_and(|error| unused.contains(error)) {
        true => Ok(Transformed::yes(score.clone().without_error()?.into_plan())),
        false => {
            // Its input may have lost columns of a node below.
            let stale = node.schema().fields().iter().any(|field| unused.contains(field.name()));
            if stale { Ok(Transformed::yes(node.recompute_schema()?)) } else { Ok(Transformed::no(node)) }
        }
    }
}

/// The names of all columns that some expression reads, and of those that are read as a whole: by nodes that take
/// their input's every column, at the root of the plan and of each subquery.
fn names_read(plan: &LogicalPlan) -> Result<HashSet<String>> {
    let mut read = HashSet::new();
    read_schema(plan, &mut read);
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Column(column) | Expr::OuterReferenceColumn(_, column) = expr {
                    read.insert(column.name.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        if !lets_columns_through(node) {
            node.inputs().into_iter().for_each(|input| read_schema(input, &mut read));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(read)
}

fn read_schema(plan: &LogicalPlan, read: &mut HashSet<String>) {
    read.extend(plan.schema().fields().iter().map(|field| field.name().clone()));
}

/// Whether a node reads no column of its input but those of its expressions.
fn lets_columns_through(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Distinct(Distinct::On(_)) => true,
        _ => ScoreNode::downcast(node).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{LogicalPlanBuilder, col};
    use datafusion::optimizer::OptimizerContext;

    use super::super::test_plans::{scan, scored};
    use super::*;

    fn rewritten(plan: &LogicalPlan) -> Option<String> {
        let rewritten = DropUnusedScores.rewrite(plan.clone(), &OptimizerContext::new()).unwrap();
        assert_eq!(rewritten.data.schema(), plan.schema());
        let again = DropUnusedScores.rewrite(rewritten.data.clone(), &OptimizerContext::new()).unwrap();
        assert!(!again.transformed);
        rewritten.transformed.then(|| rewritten.data.display_indent().to_string())
    }

    #[test]
    fn a_node_that_nobody_reads_goes() {
        let plan = scored().filter(col("width").gt(col("width"))).unwrap().alias("x").unwrap();
        let plan = plan.project([col("x.width")]).unwrap().build().unwrap();
        let expected = "Projection: x.width\n  SubqueryAlias: x\n    Filter: t.width > t.width\n      TableScan: t";
        assert_eq!(rewritten(&plan).unwrap(), expected);
    }

    #[test]
    fn an_error_that_nobody_reads_goes_alone() {
        let plan =
            scored().filter(col("__q").gt(col("__q"))).unwrap().project([col("width")]).unwrap().build().unwrap();
        let text = rewritten(&plan).unwrap();
        assert!(text.contains("ScoreNode: unifilter(t.image, t.text) AS __q\n"), "{text}");
    }

    #[test]
    fn what_is_read_stays() {
        let by_error = scored().project([col("__e")]).unwrap().build().unwrap();
        let at_the_root = scored().build().unwrap();
        let below = scored().project([col("width"), col("__q"), col("__e")]).unwrap().build().unwrap();
        let by_a_union = LogicalPlanBuilder::from(below.clone()).union(below).unwrap();
        let by_a_union = by_a_union.project([col("width")]).unwrap().build().unwrap();
        for plan in [by_error, at_the_root, by_a_union] {
            assert_eq!(rewritten(&plan), None, "{}", plan.display_indent());
        }
    }

    #[test]
    fn a_plan_without_nodes_is_left() {
        assert!(!DropUnusedScores.rewrite(scan(), &OptimizerContext::new()).unwrap().transformed);
    }
}
