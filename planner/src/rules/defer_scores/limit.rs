//! Limits, with or without a sort, below score nodes.

use std::sync::Arc;

use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Projection, Sort, SortExpr, SubqueryAlias, Union, lit};

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
            LogicalPlan::Union(union) => Ok(self.below_each(union)?.map(|union| self.apply(&union))),
            LogicalPlan::Sort(Sort { expr, input, fetch: None }) if matches!(self, Self::Limit { .. }) => {
                let top = Self::Top { keys: expr.clone(), fetch: None, limit: Some(Box::new(self.clone())) };
                Ok(top.below_scores(input)?.map(|below| sorted(expr, below)))
            }
            _ => Ok(None),
        }
    }

    /// The union of what this choice may take of each branch, made below the score nodes of some; the choice itself is
    /// still to be made.
    fn below_each(&self, union: &Union) -> Result<Option<LogicalPlan>> {
        let Some(most) = self.most().filter(|_| !self.draws_lots()) else { return Ok(None) };
        let mut has_moved = false;
        let mut branches = vec![];
        for branch in &union.inputs {
            let own = |column: &Column| {
                let index = union.schema.maybe_index_of_column(column)?;
                Some(Expr::Column(Column::from(branch.schema().qualified_field(index))))
            };
            let first = Self::Limit { skip: None, fetch: Some(Box::new(lit(i64::try_from(most).unwrap_or(i64::MAX)))) };
            let choice = match self {
                Self::Limit { .. } => Some(first),
                Self::Top { keys, .. } => {
                    Self::Top { keys: keys.clone(), fetch: None, limit: Some(Box::new(first)) }.over(own)
                }
            };
            // A branch that gives no more was limited before.
            let choice = choice.filter(|_| most_rows(branch).is_none_or(|rows| rows > most));
            let moved = choice.map(|choice| choice.below_scores(branch)).transpose()?.flatten();
            has_moved |= moved.is_some();
            branches.push(moved.map_or_else(|| Arc::clone(branch), Arc::new));
        }
        if !has_moved {
            return Ok(None);
        }
        Ok(Some(LogicalPlan::Union(Union { inputs: branches, schema: Arc::clone(&union.schema) })))
    }

    /// Whether it takes rows by lot: those of a branch would have other chances than those of all.
    fn draws_lots(&self) -> bool {
        matches!(self, Self::Top { keys, .. } if keys.iter().any(|key| key.expr.is_volatile()))
    }

    /// How many rows it takes at most, those that it skips included, if that is written there.
    fn most(&self) -> Option<usize> {
        match self {
            Self::Limit { skip, fetch } => {
                let skip = skip.as_deref().map_or(Some(0), number)?;
                number(fetch.as_deref()?)?.checked_add(skip)
            }
            Self::Top { fetch, limit, .. } => fetch.or_else(|| limit.as_ref()?.most()),
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

/// How many rows `plan` gives at most, if that is written in it.
fn most_rows(plan: &LogicalPlan) -> Option<usize> {
    match plan {
        LogicalPlan::Projection(Projection { input, .. })
        | LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. })
        | LogicalPlan::Sort(Sort { input, fetch: None, .. }) => most_rows(input),
        plan => match ScoreNode::downcast(plan) {
            Some(node) => most_rows(node.input()),
            None => plan.max_rows(),
        },
    }
}

fn number(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => usize::try_from(*number).ok(),
        _ => None,
    }
}
