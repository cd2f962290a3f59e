//! Limits, with or without a sort, below score nodes.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Projection, Sort, SortExpr, SubqueryAlias};

use super::super::columns::{calls_a_model, draws_lots, is_fixed_to_its_place, resolve, substitute};
use super::is_movable;
use crate::ScoreNode;

/// What chooses rows without looking at a score.
#[derive(Debug, Clone)]
enum Choice {
    Limit {
        skip: Option<Box<Expr>>,
        fetch: Option<Box<Expr>>,
    },
    /// A sort with its own number of rows, or with a limit above it.
    Top {
        keys: Vec<SortExpr>,
        fetch: Option<usize>,
        limit: Option<Box<Choice>>,
    },
}

/// `limit` moved below the score nodes under it; `None` if there is none, or it may not.
pub(super) fn below_scores(limit: &Limit) -> Result<Option<LogicalPlan>> {
    let choice = Choice::Limit { skip: limit.skip.clone(), fetch: limit.fetch.clone() };
    choice.below_scores(&limit.input)
}

/// [`below_scores`] for a sort that gives a number of rows.
pub(super) fn sort_below_scores(sort: &Sort) -> Result<Option<LogicalPlan>> {
    let top = Choice::Top { keys: sort.expr.clone(), fetch: sort.fetch, limit: None };
    Ok(top.below_scores(&sort.input)?.map(|below| sorted(&sort.expr, below)))
}

/// The rows in their order: what they come in from further down is nothing that a plan promises. Lots are not drawn
/// again: any order is one.
fn sorted(keys: &[SortExpr], rows: LogicalPlan) -> LogicalPlan {
    if keys.iter().all(|key| draws_lots(&key.expr)) {
        return rows;
    }
    LogicalPlan::Sort(Sort { expr: keys.to_vec(), input: Arc::new(rows), fetch: None })
}

impl Choice {
    /// A plan that gives what this choice gives of the rows of `plan`, made below at least one score node of it.
    fn below_scores(&self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        if let Some(node) = ScoreNode::downcast(plan) {
            let Some(inner) = self.over(|column| resolve(column, node.input().schema()).map(Expr::Column)) else {
                return Ok(None);
            };
            let below = match inner.below_scores(node.input())? {
                Some(below) => below,
                None => inner.apply(node.input()),
            };
            return Ok(Some(node.clone().with_input(below)?.into_plan()));
        }
        match plan {
            LogicalPlan::Projection(projection) if is_movable(projection) => {
                let computed = |column: &Column| {
                    let index = projection.schema.maybe_index_of_column(column)?;
                    Some(projection.expr[index].clone().unalias_nested().data)
                };
                let Some(inner) = self.over(computed) else { return Ok(None) };
                let Some(below) = inner.below_scores(&projection.input)? else { return Ok(None) };
                let (exprs, schema) = (projection.expr.clone(), Arc::clone(&projection.schema));
                let moved = Projection::try_new_with_schema(exprs, Arc::new(below), schema)?;
                Ok(Some(LogicalPlan::Projection(moved)))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let renamed = |column: &Column| {
                    let index = alias.schema.maybe_index_of_column(column)?;
                    Some(Expr::Column(Column::from(alias.input.schema().qualified_field(index))))
                };
                let Some(inner) = self.over(renamed) else { return Ok(None) };
                let Some(below) = inner.below_scores(&alias.input)? else { return Ok(None) };
                let moved = SubqueryAlias::try_new(Arc::new(below), alias.alias.clone())?;
                Ok(Some(LogicalPlan::SubqueryAlias(moved)))
            }
            LogicalPlan::Sort(Sort { expr, input, fetch: None }) if matches!(self, Self::Limit { .. }) => {
                let top = Self::Top { keys: expr.clone(), fetch: None, limit: Some(Box::new(self.clone())) };
                Ok(top.below_scores(input)?.map(|below| sorted(expr, below)))
            }
            _ => Ok(None),
        }
    }

    /// The same choice in terms of another plan's columns; `None` if a sort key has no such terms.
    fn over(&self, f: impl Fn(&Column) -> Option<Expr>) -> Option<Self> {
        let Self::Top { keys, fetch, limit } = self else { return Some(self.clone()) };
        let is_lot = keys.iter().all(|key| draws_lots(&key.expr));
        let is_fine = |expr: &Expr| is_lot || !is_fixed_to_its_place(expr) && !calls_a_model(expr);
        let key = |sort: &SortExpr| {
            let expr = substitute(&sort.expr, &f).filter(is_fine)?;
            Some(SortExpr { expr, ..sort.clone() })
        };
        let keys = keys.iter().map(key).collect::<Option<_>>()?;
        Some(Self::Top { keys, fetch: *fetch, limit: limit.clone() })
    }

    fn apply(&self, input: &LogicalPlan) -> LogicalPlan {
        let input = Arc::new(input.clone());
        match self {
            Self::Limit { skip, fetch } => {
                LogicalPlan::Limit(Limit { skip: skip.clone(), fetch: fetch.clone(), input })
            }
            Self::Top { keys, fetch, limit } => {
                let sort = LogicalPlan::Sort(Sort { expr: keys.clone(), input, fetch: *fetch });
                match limit {
                    Some(limit) => limit.apply(&sort),
                    None => sort,
                }
            }
        }
    }
}
