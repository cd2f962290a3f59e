//! Joins below the score nodes of their sides.

use std::sync::Arc;

use datafusion::common::{Column, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Filter, Join, JoinConstraint, JoinType, LogicalPlan, Projection};

use super::super::columns::{calls_a_model, is_fixed_to_its_place, never_fails, resolve, substitute};
use super::is_movable;
use crate::ScoreNode;

/// `join` moved below the score nodes of one of its sides; `None` if there is none, or it may not.
pub(super) fn below_scores(join: &Join) -> Result<Option<LogicalPlan>> {
    // A product would carry every image as often as the other side has rows.
    if join.on.is_empty() && join.filter.is_none() {
        return Ok(None);
    }
    let (keeps_left, keeps_right) = match join.join_type {
        JoinType::Inner => (true, true),
        JoinType::LeftSemi | JoinType::LeftAnti => (true, false),
        JoinType::RightSemi | JoinType::RightAnti => (false, true),
        _ => (false, false),
    };
    if keeps_left && let Some(moved) = Side::Left.below_scores(join)? {
        return Ok(Some(moved));
    }
    if keeps_right { Side::Right.below_scores(join) } else { Ok(None) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// One node of a side that moves above the join.
#[derive(Debug)]
enum Step {
    Score(Box<ScoreNode>),
    Project(Projection),
    Rename(TableReference),
    Filter(Expr),
}

impl Side {
    fn below_scores(self, join: &Join) -> Result<Option<LogicalPlan>> {
        let Some((base, steps, condition)) = self.split(join) else { return Ok(None) };
        let (left, right) = match self {
            Self::Left => (Arc::new(base), Arc::clone(&join.right)),
            Self::Right => (Arc::clone(&join.left), Arc::new(base)),
        };
        // Two columns of one name now meet, which kept apart above: then the join stays where it is.
        if left.schema().join(right.schema()).is_err() {
            return Ok(None);
        }
        // Not USING: a key may be an expression now.
        let (join_type, constraint) = (join.join_type, JoinConstraint::On);
        let Condition { on, filter, above } = condition;
        let filter = conjunction(filter.into_iter().map(|conjunct| conjunct.inner));
        let moved = Join::try_new(left, right, on, filter, join_type, constraint, join.null_equality, join.null_aware)?;
        Ok(self.rebuild(join, moved, steps, above).ok())
    }

    /// The side's plan below its lowest score node that the join does not read, the nodes from there up, lowest first,
    /// and the join's condition in terms of that plan.
    fn split(self, join: &Join) -> Option<(LogicalPlan, Vec<Step>, Condition)> {
        let mut plan = match self {
            Self::Left => join.left.as_ref(),
            Self::Right => join.right.as_ref(),
        };
        let mut condition = Condition::of(join);
        let mut steps = vec![];
        let mut best = None;
        loop {
            let (step, input, inner) = if let Some(node) = ScoreNode::downcast(plan) {
                let inner =
                    condition.over(self, join, |column| resolve(column, node.input().schema()).map(Expr::Column));
                (Step::Score(Box::new(node.clone())), node.input(), inner)
            } else {
                match plan {
                    LogicalPlan::Projection(projection) if is_movable(projection) => {
                        let inner = condition.over(self, join, |column| {
                            let index = projection.schema.maybe_index_of_column(column)?;
                            Some(projection.expr[index].clone().unalias_nested().data)
                        });
                        (Step::Project(projection.clone()), projection.input.as_ref(), inner)
                    }
                    LogicalPlan::SubqueryAlias(alias) => {
                        let inner = condition.over(self, join, |column| {
                            let index = alias.schema.maybe_index_of_column(column)?;
                            Some(Expr::Column(Column::from(alias.input.schema().qualified_field(index))))
                        });
                        (Step::Rename(alias.alias.clone()), alias.input.as_ref(), inner)
                    }
                    LogicalPlan::Filter(filter) if !is_fixed_to_its_place(&filter.predicate) => {
                        (Step::Filter(filter.predicate.clone()), filter.input.as_ref(), Some(condition.clone()))
                    }
                    _ => break,
                }
            };
            let Some(inner) = inner else { break };
            // A filter may guard what would fail for the rows that it rejects.
            let is_guarded = matches!(step, Step::Filter(_)) || steps.iter().any(|s| matches!(s, Step::Filter(_)));
            if is_guarded && !inner.never_fails(self) {
                break;
            }
            let is_score = matches!(step, Step::Score(_));
            steps.push(step);
            (condition, plan) = (inner, input);
            if is_score {
                best = Some((plan.clone(), steps.len(), condition.clone()));
            }
        }
        let (base, count, condition) = best?;
        steps.truncate(count);
        steps.reverse();
        Some((base, steps, condition))
    }

    /// Puts `steps` on the moved join, with the other side's columns passed on, then what is left of the join's condition,
    /// and restores the join's columns.
    fn rebuild(self, join: &Join, moved: Join, steps: Vec<Step>, above: Vec<Expr>) -> Result<LogicalPlan> {
        let other = match (self, join.join_type) {
            (Self::Left, JoinType::Inner) => join.right.schema().columns(),
            (Self::Right, JoinType::Inner) => join.left.schema().columns(),
            _ => vec![],
        };
        let mut own = match self {
            Self::Left => moved.left.schema().columns(),
            Self::Right => moved.right.schema().columns(),
        };
        let mut plan = LogicalPlan::Join(moved);
        for step in steps {
            plan = match step {
                Step::Score(node) => {
                    let names = node.columns().names().map(Column::new_unqualified);
                    own.extend(names);
                    node.with_input(plan)?.into_plan()
                }
                Step::Filter(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?),
                Step::Project(projection) => {
                    own = projection.schema.columns();
                    let exprs = projection.expr.into_iter().chain(other.iter().cloned().map(Expr::Column));
                    LogicalPlan::Projection(Projection::try_new(exprs.collect(), Arc::new(plan))?)
                }
                Step::Rename(alias) => {
                    let renamed = |column: &Column| {
                        Expr::Column(column.clone()).alias_qualified(Some(alias.clone()), column.name.clone())
                    };
                    let exprs = own.iter().map(renamed).chain(other.iter().cloned().map(Expr::Column)).collect();
                    own = own.into_iter().map(|column| Column::new(Some(alias.clone()), column.name)).collect();
                    LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?)
                }
            };
        }
        if let Some(predicate) = conjunction(above) {
            plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?);
        }
        if plan.schema().columns() == join.schema.columns() {
            return Ok(plan);
        }
        let exprs = join.schema.columns().into_iter().map(Expr::Column).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?))
    }
}

/// A join's condition, as it is over a plan further down one side.
#[derive(Debug, Clone)]
struct Condition {
    on: Vec<(Expr, Expr)>,
    filter: Vec<Conjunct>,
    /// What cannot be said down there, over the join's own columns: an inner join's rows may be filtered later.
    above: Vec<Expr>,
}

#[derive(Debug, Clone)]
struct Conjunct {
    outer: Expr,
    inner: Expr,
}

impl Condition {
    fn of(join: &Join) -> Self {
        let conjuncts = join.filter.iter().flat_map(split_conjunction);
        let filter = conjuncts.map(|expr| Conjunct { outer: expr.clone(), inner: expr.clone() }).collect();
        Self { on: join.on.clone(), filter, above: vec![] }
    }

    /// Whether it cannot fail for any row of one side.
    fn never_fails(&self, side: Side) -> bool {
        let own = |(left, right): &(Expr, Expr)| match side {
            Side::Left => never_fails(left),
            Side::Right => never_fails(right),
        };
        self.on.iter().all(own) && self.filter.iter().all(|conjunct| never_fails(&conjunct.inner))
    }

    /// The condition with the columns of one side replaced; `None` if it cannot be, or would be computed twice.
    fn over(&self, side: Side, join: &Join, f: impl Fn(&Column) -> Option<Expr>) -> Option<Self> {
        let is_fine = |expr: &Expr| !is_fixed_to_its_place(expr) && !calls_a_model(expr);
        let own = |expr: &Expr| substitute(expr, &f).filter(is_fine);
        let on = self.on.iter().map(|(left, right)| match side {
            Side::Left => Some((own(left)?, right.clone())),
            Side::Right => Some((left.clone(), own(right)?)),
        });
        let on: Vec<_> = on.collect::<Option<_>>()?;
        let other = match side {
            Side::Left => join.right.schema(),
            Side::Right => join.left.schema(),
        };
        // A filter's columns are of both sides; further down a name may mean a column of either.
        let is_other = |column: &Column| resolve(column, other).is_some();
        let either = |column: &Column| match (resolve(column, other), f(column)) {
            (Some(column), None) => Some(Expr::Column(column)),
            (None, Some(expr)) if !expr.column_refs().into_iter().any(is_other) => Some(expr),
            _ => None,
        };
        let (mut filter, mut above) = (vec![], self.above.clone());
        for Conjunct { outer, inner } in &self.filter {
            match substitute(inner, either).filter(is_fine) {
                Some(inner) => filter.push(Conjunct { outer: outer.clone(), inner }),
                None if join.join_type == JoinType::Inner => above.push(outer.clone()),
                None => return None,
            }
        }
        (!on.is_empty() || !filter.is_empty()).then_some(Self { on, filter, above })
    }
}
