//! The rule that tells a score node how many rows are wanted of it.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, FetchType, Filter, Limit, LogicalPlan, SkipType, lit};
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
/// Projections and aliases may stand between: the predicate is said in the node's own columns. Further score nodes and
/// filters below are told how far to work ahead, `ahead=10 where ...`, and do not end by themselves.
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
    /// As many rows at first; how many at most is not known.
    First(usize),
}

impl Wanted {
    /// What a limit wants of its input.
    fn by_limit(&self, limit: &Limit) -> Result<Self> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Ok(Self::All);
        };
        let above = match self {
            Self::Some(rows) | Self::First(rows) => Some(*rows),
            Self::All | Self::Passing(_) => None,
        };
        Ok(fetch.into_iter().chain(above).min().map_or(Self::All, |rows| Self::Some(rows.saturating_add(skip))))
    }

    /// What a filter wants of its input. Of filters upon each other the upper one may fail for what the lower one
    /// rejects, so that its predicate is not told further down.
    fn by_filter(&self, filter: &Filter) -> Self {
        let passing = |enough: usize, ends: bool| match is_fixed_to_its_place(&filter.predicate) {
            true => Self::First(enough),
            false => Self::Passing(Sieve { predicate: filter.predicate.clone(), enough, ends }),
        };
        match self {
            Self::All => Self::All,
            Self::Some(enough) => passing(*enough, true),
            Self::First(enough) | Self::Passing(Sieve { enough, .. }) => passing(*enough, false),
        }
    }

    /// What a plan wants of its input, of which it gives each row, with its columns computed by `f`.
    fn through(&self, f: impl Fn(&Column) -> Option<Expr>) -> Self {
        let Self::Passing(Sieve { predicate, enough, ends }) = self else { return self.clone() };
        let is_fine = |expr: &Expr| !is_fixed_to_its_place(expr) && !calls_a_model(expr);
        match substitute(predicate, f).filter(is_fine) {
            Some(predicate) => Self::Passing(Sieve { predicate, enough: *enough, ends: *ends }),
            None => Self::First(*enough),
        }
    }

    /// What a score node is told.
    fn sieve(&self) -> Option<Sieve<Expr>> {
        match self {
            Self::Passing(sieve) => Some(sieve.clone()),
            Self::First(enough) => Some(Sieve { predicate: lit(true), enough: *enough, ends: false }),
            Self::All | Self::Some(_) => None,
        }
    }

    /// What a score node wants of its input.
    fn by_score(&self) -> Self {
        match self {
            Self::Passing(Sieve { enough, .. }) | Self::First(enough) | Self::Some(enough) => Self::First(*enough),
            Self::All => Self::All,
        }
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
        other => match ScoreNode::downcast(other) {
            Some(node) if node.sieve() != wanted.sieve().as_ref() => {
                let told = node.clone().with_sieve(wanted.sieve()).into_plan();
                return Ok(Transformed::yes(tell_inputs(told, &wanted.by_score())?.data));
            }
            Some(_) => wanted.by_score(),
            None => Wanted::All,
        },
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
    use crate::{ModelCall, ScoreColumns};

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
    fn a_filter_under_a_filter_does_not_end_the_node() {
        let plan = passing().filter(col("t.width").gt(lit(1))).unwrap().limit(0, Some(3)).unwrap();
        let text = rewritten(&plan.build().unwrap()).unwrap();
        assert!(text.contains("ahead=3 where __q > Float32(2)"), "{text}");
    }

    #[test]
    fn a_node_below_another_is_told_how_far_to_work_ahead() {
        let lower = scored().filter(col("__q").gt(lit(2_f32))).unwrap().build().unwrap();
        let call = ModelCall { family: "unifilter".into(), model: None, args: vec![col("t.image"), col("t.text")] };
        let columns = ScoreColumns { score: "__r".into(), error: None };
        let upper = LogicalPlanBuilder::from(ScoreNode::try_new(lower, call, columns).unwrap().into_plan());
        let plan = upper.filter(col("__r").gt(lit(1_f32))).unwrap().limit(0, Some(3)).unwrap();
        let text = rewritten(&plan.build().unwrap()).unwrap();
        assert!(text.contains("enough=3 where __r > Float32(1)"), "{text}");
        assert!(text.contains("ahead=3 where __q > Float32(2)"), "{text}");
    }

    #[test]
    fn without_a_limit_or_with_a_sort_between_all_rows_are_wanted() {
        let sorted = passing().sort([col("width").sort(true, true)]).unwrap().limit(0, Some(3)).unwrap();
        for plan in [passing(), sorted] {
            assert_eq!(rewritten(&plan.build().unwrap()), None);
        }
    }

    #[test]
    fn a_predicate_that_draws_lots_is_not_told() {
        let random = scored().filter(datafusion::functions::math::random().call(vec![]).gt(lit(0.5))).unwrap();
        let text = rewritten(&random.limit(0, Some(3)).unwrap().build().unwrap()).unwrap();
        assert!(text.contains("ahead=3 where Boolean(true)"), "{text}");
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
