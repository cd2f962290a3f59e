//! The rule that fetches heavy columns after a sort of which few rows are kept.

mod chain;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Projection, Sort};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use self::chain::{Chain, columns_of, holds_subquery};
use super::hidden_names::HiddenNames;
use super::is_enabled;
use crate::heavy::is_heavy;
use crate::{FetchNode, FetchedColumn};

/// Sorts that keep more rows are left: fetching them one by one would cost more than carrying them.
const MOST_ROWS: usize = 10_000;

/// Keeps heavy columns, such as images, out of a sort of which a limit keeps few rows, and reads them for these rows.
///
/// ```sql
/// SELECT * FROM t ORDER BY unifilter(image, text) DESC LIMIT 20
/// ```
///
/// ```text
/// Projection: width, image, text              Projection: width, image, text
///   Sort: __unifilter_1 DESC, fetch=20          FetchNode: columns=[image], file=__file_1, row=__row_1
///     ScoreNode: unifilter(image, text)  =>       Sort: __unifilter_1 DESC, fetch=20
///       TableScan: t [width, image, text]           Projection: width, text, __file_1, __row_1, __unifilter_1
///                                                     ScoreNode: unifilter(image, text)
///                                                       TableScan: t [width, image, text, __file_1, __row_1]
/// ```
///
/// The rows carry their addresses in place of the columns. Each column goes no further than to its last user below the
/// sort; one without a user there is not read by the scan at all.
///
/// It takes columns that hold byte strings, that come unchanged through projections, filters, aliases and score nodes
/// from one scan of a [`RowTable`](crate::RowTable), and that no sort key reads. Of a row the fetch reads what the scan
/// read or would have read, so the rest of the plan sees no difference, whatever else it computes. Joins, aggregates,
/// windows, unions, limits and subqueries in expressions are not looked through. A column that nobody above wants is not fetched.
///
/// The rule comes after DataFusion's: `push_down_limit` has by then told the sort how many rows are kept, filters are where
/// they will stay, and columns that nobody reads have been dropped by `optimize_projections`; in the next pass projections
/// that were added here are merged with others. It runs again in each pass and finds nothing more in a sort that it has changed.
#[derive(Debug, Default)]
pub struct FetchLate;

impl OptimizerRule for FetchLate {
    fn name(&self) -> &str {
        "fetch_late"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !is_enabled(config) {
            return Ok(Transformed::no(plan));
        }
        let mut names = HiddenNames::free_in(&plan)?;
        plan.transform_down_with_subqueries(|node| {
            let rewritten = match &node {
                _ if holds_subquery(&node) => None,
                LogicalPlan::Projection(projection) if sort_of_few(&projection.input).is_some() => {
                    let rewritten = below_projection(projection, &mut names)?;
                    if rewritten.is_none() {
                        // Nothing of the sort's heavy columns is wanted, and below it is no other sort.
                        return Ok(Transformed::new(node, false, TreeNodeRecursion::Jump));
                    }
                    rewritten
                }
                LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => with_its_columns(&node, &mut names)?,
                _ => None,
            };
            Ok(rewritten.map_or_else(|| Transformed::no(node), Transformed::yes))
        })
    }
}

/// A projection over a sort: what it does not read is not fetched.
fn below_projection(projection: &Projection, names: &mut HiddenNames) -> Result<Option<LogicalPlan>> {
    let read = projection.expr.iter().flat_map(Expr::column_refs).cloned().collect();
    let Some(input) = fetch_late(&projection.input, &read, names)? else { return Ok(None) };
    let rewritten = Projection::try_new(projection.expr.clone(), Arc::new(input))?;
    if !rewritten.schema.logically_equivalent_names_and_types(&projection.schema) {
        return Ok(None);
    }
    Ok(Some(LogicalPlan::Projection(rewritten)))
}

/// A sort whose every column is wanted. A projection gives them in their order.
fn with_its_columns(plan: &LogicalPlan, names: &mut HiddenNames) -> Result<Option<LogicalPlan>> {
    let all = columns_of(plan).collect();
    let Some(input) = fetch_late(plan, &all, names)? else { return Ok(None) };
    let columns = plan.schema().iter().map(Expr::from).collect();
    let rewritten = Projection::try_new(columns, Arc::new(input))?;
    if !rewritten.schema.logically_equivalent_names_and_types(plan.schema()) {
        return Ok(None);
    }
    Ok(Some(LogicalPlan::Projection(rewritten)))
}

/// The columns of `plan` that are in `wanted`, in any order and with others, the heavy ones fetched. `None` if `plan` is
/// no sort of few rows, or none of them can be fetched.
fn fetch_late(plan: &LogicalPlan, wanted: &HashSet<Column>, names: &mut HiddenNames) -> Result<Option<LogicalPlan>> {
    let Some((limit, sort, chain)) = sort_of_few(plan) else { return Ok(None) };
    let keys: HashSet<&Column> = sort.expr.iter().flat_map(|key| key.expr.column_refs()).collect();
    let mut dropped = HashSet::new();
    let mut fetched = vec![];
    for (qualifier, field) in sort.input.schema().iter() {
        let column = Column::new(qualifier.cloned(), field.name());
        if !is_heavy(field.data_type()) || keys.contains(&column) {
            continue;
        }
        let Some(place) = Chain::place_of(&sort.input, &column) else { continue };
        if wanted.contains(&column) {
            fetched.push(FetchedColumn { place, qualifier: qualifier.cloned(), field: Arc::clone(field) });
        }
        dropped.insert(column);
    }
    if fetched.is_empty() {
        return Ok(None);
    }
    let (file, row) = names.next_pair("file", "row");
    let below = chain.rewrite(&sort.input, &dropped, &file, &row)?;
    let mut input = LogicalPlan::Sort(Sort { input: Arc::new(below.plan), ..sort.clone() });
    if let Some(limit) = limit {
        input = LogicalPlan::Limit(Limit { input: Arc::new(input), ..limit.clone() });
    }
    let node = FetchNode::try_new(input, chain.table().clone(), below.file, below.row, fetched)?;
    Ok(Some(node.into_plan()))
}

/// The sort of few rows that `plan` is, the limit above it, if there is one, and the chain below it.
fn sort_of_few(plan: &LogicalPlan) -> Option<(Option<&Limit>, &Sort, Chain)> {
    let (limit, sorted) = match plan {
        LogicalPlan::Limit(limit) => (Some(limit), limit.input.as_ref()),
        plan => (None, plan),
    };
    let LogicalPlan::Sort(sort) = sorted else { return None };
    if sort.fetch.is_none_or(|rows| rows > MOST_ROWS) || holds_subquery(sorted) {
        return None;
    }
    Some((limit, sort, Chain::below(&sort.input)?))
}
