//! The rule that tells a score node how many rows are wanted of it.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, FetchType, Filter, Limit, LogicalPlan, SkipType};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::columns::{calls_a_model, is_fixed_to_its_place, substitute};
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
/// Projections and aliases may stand between: the predicate is said in the node's own columns.
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
        tell(plan, &Wanted::All)
    }
}

/// What is wanted of a plan's rows by those above it.
#[derive(Debug, Clone)]
enum Wanted {
    All,
    /// As many rows at most.
    Some(usize),
    /// As many rows at most that pass a predicate.
    Passing(Sieve<Expr>),
}

impl Wanted {
    /// What a limit wants of its input.
    fn by_limit(&self, limit: &Limit) -> Result<Self> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Ok(Self::All);
        };
        let above = match self {
            Self::Some(rows) => Some(*rows),
            _ => None,
        };
        Ok(fetch.into_iter().chain(above).min().map_or(Self::All, |rows| Self::Some(rows.saturating_add(skip))))
    }

    /// What a filter wants of its input. Of filters upon each other the upper one may fail for what the lower one rejects.
    fn by_filter(&self, filter: &Filter) -> Self {
        match self {
            Self::Some(enough) if !is_fixed_to_its_place(&filter.predicate) => {
                Self::Passing(Sieve { predicate: filter.predicate.clone(), enough: *enough })
            }
            _ => Self::All,
        }
    }

    /// What a plan wants of its input, of which it gives each row, with its columns computed by `f`.
    fn through(&self, f: impl Fn(&Column) -> Option<Expr>) -> Self {
        let Self::Passing(Sieve { predicate, enough }) = self else { return self.clone() };
        let is_fine = |expr: &Expr| !is_fixed_to_its_place(expr) && !calls_a_model(expr);
        substitute(predicate, f)
            .filter(is_fine)
            .map_or(Self::All, |predicate| Self::Passing(Sieve { predicate, enough: *enough }))
    }
}

/// Tells the score nodes of `plan`.
fn tell(plan: LogicalPlan, wanted: &Wanted) -> Result<Transformed<LogicalPlan>> {
    let below = match &plan {
        LogicalPlan::Limit(limit) => wanted.by_limit(limit)?,
        LogicalPlan::Filter(filter) => wanted.by_filter(filter),
        LogicalPlan::Projection(projection) => {
            let computed = |column: &Column| {
                let index = projection.schema.maybe_index_of_column(column)?;
                Some(projection.expr.get(index)?.clone().unalias())
            };
            wanted.through(computed)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let inner = |column: &Column| {
                let index = alias.schema.maybe_index_of_column(column)?;
                Some(Expr::Column(Column::from(alias.input.schema().qualified_field(index))))
            };
            wanted.through(inner)
        }
        other => {
            let sieve = match wanted {
                Wanted::Passing(sieve) => Some(sieve),
                _ => None,
            };
            if let Some(node) = ScoreNode::downcast(other)
                && node.sieve() != sieve
            {
                let told = node.clone().with_sieve(sieve.cloned()).into_plan();
                return Ok(Transformed::yes(tell_inputs(told, &Wanted::All)?.data));
            }
            Wanted::All
        }
    };
    tell_inputs(plan, &below)
}

fn tell_inputs(plan: LogicalPlan, wanted: &Wanted) -> Result<Transformed<LogicalPlan>> {
    let subqueries = plan.map_subqueries(|subquery| tell(subquery, &Wanted::All))?;
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
    fn projections_and_aliases_may_stand_between() {
        let inner = scored().project([col("t.width"), (col("__q") * lit(2_f32)).alias("twice")]).unwrap();
        let inner = inner.alias("x").unwrap().filter(col("x.twice").gt(lit(3_f32))).unwrap();
        let text = rewritten(&inner.limit(0, Some(3)).unwrap().build().unwrap()).unwrap();
        assert!(text.contains("enough=3 where __q * Float32(2) > Float32(3)"), "{text}");
    }

    #[test]
    fn a_filter_under_a_filter_is_not_told() {
        let plan = passing().filter(col("t.width").gt(lit(1))).unwrap().limit(0, Some(3)).unwrap();
        assert_eq!(rewritten(&plan.build().unwrap()), None);
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
