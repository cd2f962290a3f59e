//! Names for the columns that score nodes add.

use std::collections::HashSet;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;

use crate::ScoreColumns;

/// Gives names that no column of the plan has, the same ones for the same plan.
#[derive(Debug)]
pub(super) struct ColumnNames {
    taken: HashSet<String>,
    last: usize,
}

impl ColumnNames {
    /// Names that are free in `plan` and its subqueries.
    pub(super) fn free_in(plan: &LogicalPlan) -> Result<Self> {
        let mut taken = HashSet::new();
        plan.apply_with_subqueries(|node| {
            let names = node.schema().fields().iter().map(|field| field.name());
            taken.extend(names.filter(|name| name.starts_with("__")).cloned());
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self { taken, last: 0 })
    }

    /// The names of the next node's score and error columns.
    pub(super) fn next(&mut self, family: &str) -> ScoreColumns {
        loop {
            self.last += 1;
            let score = format!("__{family}_{}", self.last);
            let error = format!("__{family}_error_{}", self.last);
            if !self.taken.contains(&score) && !self.taken.contains(&error) {
                return ScoreColumns { score, error: Some(error) };
            }
        }
    }
}
