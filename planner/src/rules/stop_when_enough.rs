//! The rule that tells a score node how many rows are wanted of it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{FetchType, LogicalPlan, SkipType};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::columns::is_fixed_to_its_place;
use super::is_enabled;
use crate::{ScoreNode, Sieve};

/// Tells the score node under a filter under a limit how many rows are enough, and by which predicate.
///
/// ```sql
/// SELECT uid FROM t WHERE unifilter(image, text) >= 2 LIMIT 10
/// ```
///
/// ```text
/// Limit: fetch=10                               Limit: fetch=10
///   Filter: __unifilter_1 >= 2                    Filter: __unifilter_1 >= 2
///     ScoreNode: ... AS __unifilter_1      =>       ScoreNode: ... AS __unifilter_1, enough=10 where __unifilter_1 >= 2
///       TableScan: t                                  TableScan: t
/// ```
///
/// The node then scores no more rows at once than it should take, and stops when it has given enough; the filter and the
/// limit stay and decide. The rule comes after every rule that moves limits and filters, and finds the hint anew each
/// time: a hint that no longer fits is taken off.
#[derive(Debug, Default)]
pub struct StopWhenEnough;

impl OptimizerRule for StopWhenEnough {
    fn name(&self) -> &str {
        "stop_when_enough"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !is_enabled(config) {
            return Ok(Transformed::no(plan));
        }
        tell(plan, None)
    }
}

/// Tells the score nodes of `plan`, of which `wanted` rows are read at most.
fn tell(plan: LogicalPlan, wanted: Option<usize>) -> Result<Transformed<LogicalPlan>> {
    let below = match &plan {
        LogicalPlan::Limit(limit) => match (limit.get_skip_type()?, limit.get_fetch_type()?) {
            (SkipType::Literal(skip), FetchType::Literal(fetch)) => {
                fetch.into_iter().chain(wanted).min().map(|rows| rows.saturating_add(skip))
            }
            _ => None,
        },
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => wanted,
        LogicalPlan::Filter(filter) => {
            let sieve = wanted.filter(|_| !is_fixed_to_its_place(&filter.predicate));
            let sieve = sieve.map(|enough| Sieve { predicate: filter.predicate.clone(), enough });
            if let Some(node) = ScoreNode::downcast(&filter.input)
                && node.sieve() != sieve.as_ref()
            {
                let told = tell_inputs(node.clone().with_sieve(sieve).into_plan(), None)?.data;
                let mut filter = filter.clone();
                filter.input = Arc::new(told);
                return Ok(Transformed::yes(LogicalPlan::Filter(filter)));
            }
            if ScoreNode::downcast(&filter.input).is_some() {
                return plan.map_children(|node| tell_inputs(node, None));
            }
            None
        }
        other => {
            if let Some(node) = ScoreNode::downcast(other)
                && node.sieve().is_some()
            {
                let told = tell_inputs(node.clone().with_sieve(None).into_plan(), None)?.data;
                return Ok(Transformed::yes(told));
            }
            None
        }
    };
    tell_inputs(plan, below)
}

fn tell_inputs(plan: LogicalPlan, wanted: Option<usize>) -> Result<Transformed<LogicalPlan>> {
    let subqueries = plan.map_subqueries(|subquery| tell(subquery, None))?;
    let inputs = subqueries.data.map_children(|input| tell(input, wanted))?;
    Ok(Transformed::new_transformed(inputs.data, subqueries.transformed || inputs.transformed))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
    use datafusion::optimizer::OptimizerContext;

    use super::super::test_plans::scored;
    use super::*;

    fn rewritten(plan: &LogicalPlan) -> Option<String> {
        let rewritten = StopWhenEnough.rewrite(plan.clone(), &OptimizerContext::new()).unwrap();
        assert_eq!(rewritten.data.schema(), plan.schema());
        let again = StopWhenEnough.rewrite(rewritten.data.clone(), &OptimizerContext::new()).unwrap();
        assert!(!again.transformed, "{}", again.data.display_indent());
        rewritten.transformed.then(|| rewritten.data.display_indent().to_string())
    }

    fn passing() -> LogicalPlanBuilder {
        scored().filter(col("__q").gt(lit(2_f32))).unwrap().project([col("width")]).unwrap()
    }

    #[test]
    fn a_limit_over_a_filter_is_told() {
        let plan = passing().limit(5, Some(10)).unwrap().limit(0, Some(3)).unwrap().build().unwrap();
        let text = rewritten(&plan).unwrap();
        assert!(text.contains("enough=8 where __q > Float32(2)"), "{text}");
    }

    #[test]
    fn without_a_limit_or_with_a_sort_between_all_rows_are_wanted() {
        let sorted = passing().sort([col("width").sort(true, true)]).unwrap().limit(0, Some(3)).unwrap();
        let random = scored().filter(datafusion::functions::math::random().call(vec![]).gt(lit(0.5))).unwrap();
        for plan in [passing(), sorted, random.limit(0, Some(3)).unwrap()] {
            assert_eq!(rewritten(&plan.build().unwrap()), None);
        }
    }

    #[test]
    fn a_stale_hint_is_taken_off() {
        let plan = passing().limit(0, Some(3)).unwrap().build().unwrap();
        let told = StopWhenEnough.rewrite(plan, &OptimizerContext::new()).unwrap().data;
        let LogicalPlan::Limit(limit) = told else { panic!("no limit") };
        let text = rewritten(&limit.input).unwrap();
        assert!(!text.contains("enough"), "{text}");
    }
}
