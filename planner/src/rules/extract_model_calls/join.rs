//! Joins: each side's scores serve above, and a condition's model calls run after the cheap part of it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan};

use super::super::columns::calls_a_model;
use super::available::{Score, Scored};
use super::call::qualified;
use super::rewrite::Extraction;

impl Extraction<'_> {
    /// A call in a condition of an inner join runs over the joined rows, as it would in WHERE. In another join's it
    /// runs over the side whose columns it reads, and stays a function if it reads both.
    pub(super) fn join(&mut self, join: Join) -> Result<Scored> {
        let mut left = self.rewrite(Arc::unwrap_or_clone(join.left))?;
        let mut right = self.rewrite(Arc::unwrap_or_clone(join.right))?;
        let on = join
            .on
            .into_iter()
            .map(|(l, r)| Ok((self.replace(l, &mut left)?, self.replace(r, &mut right)?)))
            .collect::<Result<_>>()?;
        let mut above = vec![];
        let filter = match join.filter {
            Some(filter) if calls_a_model(&filter) && join.join_type == JoinType::Inner => {
                let (expensive, cheap): (Vec<_>, _) =
                    split_conjunction_owned(filter).into_iter().partition(calls_a_model);
                above = expensive;
                conjunction(cheap)
            }
            Some(filter) => Some(self.replace_by_side(filter, &mut left, &mut right)?),
            None => None,
        };
        left.settle();
        right.settle();
        let available = joined(join.join_type, left.available, right.available);
        let (left, right) = (Arc::new(left.plan), Arc::new(right.plan));
        let (join_type, constraint) = (join.join_type, join.join_constraint);
        let plan = Join::try_new(left, right, on, filter, join_type, constraint, join.null_equality, join.null_aware)?;
        let joined = Scored { plan: LogicalPlan::Join(plan), available };
        match conjunction(above) {
            Some(predicate) => self.apply_predicate(joined, predicate),
            None => Ok(joined),
        }
    }

    fn replace_by_side(&mut self, expr: Expr, left: &mut Scored, right: &mut Scored) -> Result<Expr> {
        if matches!(expr, Expr::Lambda(_)) || !calls_a_model(&expr) {
            return Ok(expr);
        }
        if qualified(&expr, left.schema()).is_some() {
            return self.replace(expr, left);
        }
        if qualified(&expr, right.schema()).is_some() {
            return self.replace(expr, right);
        }
        Ok(expr.map_children(|child| self.replace_by_side(child, left, right).map(Transformed::yes))?.data)
    }
}

/// The scores that a join passes on. Rows that an outer join fills with NULLs have NULL in the score column, which
/// stands for the call only if the call gives NULL there too.
fn joined(join_type: JoinType, left: Vec<Score>, right: Vec<Score>) -> Vec<Score> {
    let nullable = |scores: Vec<Score>| scores.into_iter().filter(Score::is_null_when_columns_are).collect::<Vec<_>>();
    match join_type {
        JoinType::Inner => [left, right].concat(),
        JoinType::Left => [left, nullable(right)].concat(),
        JoinType::Right => [nullable(left), right].concat(),
        JoinType::Full => [nullable(left), nullable(right)].concat(),
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left,
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right,
    }
}
