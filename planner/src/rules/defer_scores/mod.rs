//! The rule that moves score nodes behind what leaves out rows.

mod join;
mod limit;
#[cfg(test)]
mod tests;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{LogicalPlan, Projection};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::is_enabled;
use crate::ScoreNode;

/// Moves limits, sorts with a limit and joins that do not read a score below the score node, so that rows that they leave
/// out are not scored.
///
/// ```sql
/// SELECT unifilter(image, text) AS q FROM t ORDER BY width LIMIT 10
/// ```
///
/// ```text
/// Limit: fetch=10                                           Sort: t.width
///   Sort: t.width                                             Projection: __unifilter_1 AS q, t.width
///     Projection: __unifilter_1 AS q, t.width            =>     ScoreNode: unifilter(image, text) AS __unifilter_1
///       ScoreNode: unifilter(image, text) AS __unifilter_1        Limit: fetch=10
///         TableScan: t                                              Sort: t.width
///                                                                     TableScan: t
/// ```
///
/// The sort above stays, for the order of the few rows; where lots are drawn, `ORDER BY random() LIMIT 10`, they are drawn
/// below and any order will do.
///
/// Of a union each branch is limited, and then the whole.
///
/// A join moves below the score node of one of its sides, and below the filters and projections on it: an inner join, and
/// a semi or anti join on the side that it keeps. Where the join multiplies rows they have equal contents, which the
/// runtime scores once.
///
/// ```text
/// Inner Join: s.uid = k.uid                                 Projection: ...
///   SubqueryAlias: s                                          Filter: __unifilter_1 >= 2
///     Filter: __unifilter_1 >= 2                                ScoreNode: unifilter(t.image, t.text) AS __unifilter_1
///       ScoreNode: unifilter(t.image, t.text) ...        =>       Inner Join: t.uid = k.uid
///         TableScan: t                                              TableScan: t
///   TableScan: k                                                    TableScan: k
/// ```
///
/// Nothing moves past volatile expressions and subqueries, no key that might fail past a filter that may guard it, nothing
/// below a score that the sort, the join or its condition reads. Outer joins stay: they leave no row out. The rule comes right after the extraction, before DataFusion pushes
/// filters on scores below joins and limits into scans.
#[derive(Debug, Default)]
pub struct DeferScores;

impl OptimizerRule for DeferScores {
    fn name(&self) -> &str {
        "defer_scores"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !is_enabled(config) || !has_score(&plan)? {
            return Ok(Transformed::no(plan));
        }
        plan.transform_up_with_subqueries(|node| {
            let moved = match &node {
                LogicalPlan::Limit(limit) => limit::below_scores(limit)?,
                LogicalPlan::Sort(sort) if sort.fetch.is_some() => limit::sort_below_scores(sort)?,
                LogicalPlan::Join(join) => join::below_scores(join)?,
                _ => None,
            };
            Ok(match moved {
                Some(moved) => Transformed::yes(moved),
                None => Transformed::no(node),
            })
        })
    }
}

fn has_score(plan: &LogicalPlan) -> Result<bool> {
    use datafusion::common::tree_node::TreeNodeRecursion;
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= ScoreNode::downcast(node).is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether a projection computes the same for a row wherever it stands.
fn is_movable(projection: &Projection) -> bool {
    !projection.expr.iter().any(super::columns::is_fixed_to_its_place)
}
