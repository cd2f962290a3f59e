//! Names for columns that rules add to a plan.

use std::collections::HashSet;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;

/// Gives names that no column of a plan has, the same ones for the same plan. They begin with two underscores.
#[derive(Debug)]
pub(super) struct HiddenNames {
    taken: HashSet<String>,
    last: usize,
}

impl HiddenNames {
    /// Names that are free in `plan`, its subqueries and the tables that it scans.
    pub(super) fn free_in(plan: &LogicalPlan) -> Result<Self> {
        let mut taken = HashSet::new();
        plan.apply_with_subqueries(|node| {
            let mut take = |name: &String| {
                if name.starts_with("__") {
                    taken.insert(name.clone());
                }
            };
            node.schema().fields().iter().for_each(|field| take(field.name()));
            if let LogicalPlan::TableScan(scan) = node {
                scan.source.schema().fields().iter().for_each(|field| take(field.name()));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self { taken, last: 0 })
    }

    /// The next pair of names: `__first_N` and `__second_N`.
    pub(super) fn next_pair(&mut self, first: &str, second: &str) -> (String, String) {
        loop {
            self.last += 1;
            let names = (format!("__{first}_{}", self.last), format!("__{second}_{}", self.last));
            if !self.taken.contains(&names.0) && !self.taken.contains(&names.1) {
                return names;
            }
        }
    }
}
