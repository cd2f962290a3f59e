//! The rule that turns model calls into plan nodes.

mod available;
mod call;
mod costs;
mod filter;
mod join;
mod reach;
mod replace;
mod rewrite;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use tamis_udfs::calls::{CallOutput, ModelFunction};

use self::costs::Costs;
use self::rewrite::Extraction;
use super::hidden_names::HiddenNames;
use super::is_enabled;

/// Makes each distinct model call a [`ScoreNode`](crate::ScoreNode), so that a score is computed once for a row,
/// whatever the query does with it, and only for rows that the cheap predicates let through.
///
/// ```sql
/// SELECT unifilter(image, text) AS q FROM t WHERE unifilter(image, text) >= 2 AND width > 200 ORDER BY q DESC
/// ```
///
/// ```text
/// Sort: q DESC                                          Sort: q DESC
///   Projection: unifilter(image, text) AS q               Projection: __unifilter_1 AS q
///     Filter: unifilter(image, text) >= 2       =>          Filter: __unifilter_1 >= 2
///             AND width > 200                                 ScoreNode: unifilter(image, text) AS __unifilter_1
///       TableScan: t                                            Filter: width > 200
///                                                                 TableScan: t
/// ```
///
/// A call that only some rows reach, behind an OR or in a branch of CASE or coalesce, gets a node with their condition
/// (`when`), and the others are not scored.
///
/// Functions of one family with equal arguments share a node. Score columns travel up through the plan as hidden
/// columns, for as long as their arguments do, so that a call in an outer query finds the score of an inner one; nodes
/// that are sensitive to further columns, and the root, get them trimmed.
///
/// A call stays an ordinary function, which gives the same answer, where it cannot be shown to be one over an input's
/// rows: with volatile arguments, columns of an outer query, lambda variables or subqueries in its arguments, in
/// grouping sets, in the condition of an outer join that reads both sides, and in branches whose condition is volatile.
///
/// The rule comes first. After it the constant folding of `simplify_expressions` finds no call to run during planning,
/// and common subexpressions, predicates and limits move over nodes whose cost they cannot increase. It runs again in
/// each pass, and finds what decorrelation has brought into reach; where there is nothing, it changes nothing.
#[derive(Debug, Default)]
pub struct ExtractModelCalls;

impl OptimizerRule for ExtractModelCalls {
    fn name(&self) -> &str {
        "extract_model_calls"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let functions = functions_of(&plan)?;
        if functions.is_empty() || !is_enabled(config) {
            return Ok(Transformed::no(plan));
        }
        let wants_error = |function: &ModelFunction| function.output == CallOutput::Error;
        let with_errors = functions.into_iter().filter(wants_error).map(|function| function.family).collect();
        let costs = Costs::new(config.options());
        let mut extraction = Extraction::new(&costs, HiddenNames::free_in(&plan)?, with_errors);
        let schema = Arc::clone(plan.schema());
        let rewritten = extraction.rewrite_trimmed(plan.clone())?.plan;
        // A plan that would look otherwise from outside is given up: the functions give the same answer.
        if extraction.changes() == 0 || !rewritten.schema().logically_equivalent_names_and_types(&schema) {
            return Ok(Transformed::no(plan));
        }
        Ok(Transformed::yes(rewritten))
    }
}

/// The model functions that `plan` and its subqueries call.
fn functions_of(plan: &LogicalPlan) -> Result<HashSet<ModelFunction>> {
    let mut functions = HashSet::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                functions.extend(call::function_of(expr));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(functions)
}
