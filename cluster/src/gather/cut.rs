//! Where a plan is cut: what executors run, and what this process does.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, InputOrderMode, PhysicalExpr, replace_children_if_necessary,
};
use tamis_files::tables::Spread;
use tamis_planner::{FetchExec, ScoreExec};
use tamis_udfs::calls::model_function;

use super::fed::FedExec;
use super::part::PartExec;
use super::query::Query;

/// The plan with its largest parts that are maps over the partitions of a scan as tasks of executors.
///
/// What stands above them stays as it is. Each part's partitions keep their number and their order, so that all that the plan was
/// made for holds: where a scan is `spread` over more tasks, their rows come after each other. What scores rows that come from elsewhere
/// is given these rows.
pub(crate) fn cut(
    plan: Arc<dyn ExecutionPlan>,
    spread: &[Spread],
    query: &Arc<Query>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(part) = part(&plan, spread, query, Ok)? {
        return Ok(part);
    }
    if let Some((depth, input)) = fed(&plan) {
        let input = cut(input, spread, query)?;
        return Ok(Arc::new(FedExec::new(plan, depth, input, Arc::clone(query))));
    }
    let children = plan.children().into_iter().map(|child| {
        let part = part(child, spread, query, |tasks| fewer(&plan, tasks))?;
        part.map_or_else(|| cut(Arc::clone(child), spread, query), Ok)
    });
    let children = children.collect::<Result<_>>()?;
    replace_children_if_necessary(plan, children)
}

/// The plan as tasks of executors, if it can be. `fewer` may leave out rows of a task that nobody needs.
fn part(
    plan: &Arc<dyn ExecutionPlan>,
    spread: &[Spread],
    query: &Arc<Query>,
    fewer: impl FnOnce(Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if !is_part(plan) {
        return Ok(None);
    }
    let (tasks, counts) = match spread_below(plan, spread) {
        None => (Arc::clone(plan), vec![1; plan.output_partitioning().partition_count()]),
        // What needs a partition's rows together is done here.
        Some(_) if !is_splittable(plan) => return Ok(None),
        Some(one) => {
            let tasks = Arc::clone(plan).transform_up(|node| {
                Ok(match Arc::ptr_eq(&node, &one.scan) {
                    true => Transformed::yes(Arc::clone(&one.into)),
                    false => Transformed::no(node),
                })
            })?;
            (tasks.data, one.counts.clone())
        }
    };
    Ok(Some(Arc::new(PartExec::new(Arc::clone(plan), fewer(tasks)?, &counts, Arc::clone(query)))))
}

/// The rows of a plan's tasks without those that the node above certainly does not take.
fn fewer(above: &Arc<dyn ExecutionPlan>, tasks: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(sort) = above.downcast_ref::<SortExec>()
        && let Some(fetch) = sort.fetch()
        // It may count on an order of its input, which the best rows of a task do not have.
        && sort.input().output_ordering().is_none()
    {
        let best = SortExec::new(sort.expr().clone(), tasks).with_fetch(Some(fetch));
        return Ok(Arc::new(best.with_preserve_partitioning(true)));
    }
    Ok(match most_rows(above) {
        Some(most) => Arc::new(LocalLimitExec::new(tasks, most)),
        None => tasks,
    })
}

/// How the scan of a part is spread over more tasks.
fn spread_below<'a>(plan: &Arc<dyn ExecutionPlan>, spread: &'a [Spread]) -> Option<&'a Spread> {
    match plan.children().as_slice() {
        [input] => spread_below(input, spread),
        _ => spread.iter().find(|one| Arc::ptr_eq(&one.scan, plan)),
    }
}

/// Whether a part of a partition's rows after another gives the same as the whole.
fn is_splittable(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_partial = |aggregate: &AggregateExec| matches!(aggregate.mode(), AggregateMode::Partial);
    let is_itself =
        is_by_rows(plan) || plan.is::<UnnestExec>() || plan.downcast_ref::<AggregateExec>().is_some_and(is_partial);
    plan.children().is_empty() || (is_itself && plan.children().into_iter().all(is_splittable))
}

/// The plan with its rows sorted when they have been scored, not before: DataFusion sorts first where it can, and rows that are sorted
/// by then are those of one task.
pub(crate) fn sorted_last(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        let sort = node.children().first().and_then(|input| input.downcast_ref::<SortExec>()).cloned();
        let (Some(sort), Some(score)) = (sort, node.downcast_ref::<ScoreExec>()) else {
            return Ok(Transformed::no(node));
        };
        // One that scores until it has enough counts on the order; and columns that nobody above reads may be empty there.
        let keys = sort.expr().iter().flat_map(|key| collect_columns(&key.expr));
        let is_read = keys.into_iter().all(|key| !score.unread().contains(&key.index()));
        if score.sieve().is_some() || sort.fetch().is_some() || !is_read {
            return Ok(Transformed::no(node));
        }
        let scored = replace_children_if_necessary(node, vec![Arc::clone(sort.input())])?;
        // The columns that it sorts by are in the same places.
        let sorted = SortExec::new(sort.expr().clone(), scored);
        Ok(Transformed::yes(Arc::new(sorted.with_preserve_partitioning(sort.preserve_partitioning())) as _))
    })?;
    Ok(plan.data)
}

/// Whether each partition of a plan comes of one partition of a scan of files. Rows that are scored come straight from there: those of a
/// partition that were put together first are better scored by several executors.
fn is_part(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let source: &dyn std::any::Any = scan.data_source().as_ref();
        return source.is::<FileScanConfig>();
    }
    matches!(plan.children().as_slice(), [input] if is_map(plan, input) && is_part(input))
}

/// Whether a node makes each of its partitions of the input's of the same number, and says nothing of their order that an executor
/// might not see: plans travel without what their makers knew of the values.
fn is_map(plan: &Arc<dyn ExecutionPlan>, input: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.output_partitioning().partition_count() != input.output_partitioning().partition_count() {
        return false;
    }
    let is_one = input.output_partitioning().partition_count() == 1;
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let is_of_a_partition = matches!(aggregate.mode(), AggregateMode::Partial) || (is_one && is_whole(aggregate));
        return is_of_a_partition && matches!(aggregate.input_order_mode(), InputOrderMode::Linear);
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        return sort.preserve_partitioning() || is_one;
    }
    if plan.is::<ScoreExec>() {
        return is_from_scan(input);
    }
    is_by_rows(plan) || plan.is::<LocalLimitExec>() || plan.is::<UnnestExec>()
}

/// Whether a plan's rows are a scan's, one by one.
fn is_from_scan(plan: &Arc<dyn ExecutionPlan>) -> bool {
    match plan.children().as_slice() {
        [input] => is_by_rows(plan) && is_from_scan(input),
        children => children.is_empty(),
    }
}

fn is_whole(aggregate: &AggregateExec) -> bool {
    matches!(aggregate.mode(), AggregateMode::Single | AggregateMode::SinglePartitioned)
}

/// Whether a node does with each row the same, whatever the others are.
fn is_by_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<FilterExec>() || plan.is::<ProjectionExec>() || plan.is::<ScoreExec>() || plan.is::<FetchExec>()
}

/// How many nodes of a plan score rows that do not come straight from a scan, counted from the top, and where those come from. With them
/// goes what reads columns for them.
fn fed(plan: &Arc<dyn ExecutionPlan>) -> Option<(usize, Arc<dyn ExecutionPlan>)> {
    let (mut node, mut depth) = (plan, 0);
    let mut found = None;
    let mut has_model = false;
    while is_by_rows(node) {
        let [input] = node.children()[..] else { break };
        depth += 1;
        has_model |= node.is::<ScoreExec>() || calls_model(node);
        if node.is::<ScoreExec>() || node.is::<FetchExec>() || calls_model(node) {
            found = Some((depth, Arc::clone(input)));
        }
        node = input;
    }
    found.filter(|_| has_model)
}

/// Whether an expression of a node calls a model.
fn calls_model(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut found = false;
    let visited = plan.apply_expressions(&mut |expr: &Arc<dyn PhysicalExpr>| {
        expr.apply(|inner| {
            let function = inner.downcast_ref::<ScalarFunctionExpr>();
            found |= function.is_some_and(|function| model_function(function.name()).is_some());
            Ok(TreeNodeRecursion::Continue)
        })
    });
    found || visited.is_err()
}

/// How many rows a node takes at most of each of its input's partitions.
fn most_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        return limit.fetch().map(|fetch| fetch.saturating_add(limit.skip()));
    }
    plan.downcast_ref::<CoalescePartitionsExec>()?.fetch()
}
