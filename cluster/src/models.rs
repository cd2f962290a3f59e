//! Which models a plan asks for.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::physical_plan::ExecutionPlan;
use tamis_planner::ScoreExec;
use tamis_udfs::options::TamisOptions;
use tamis_udfs::reach::Refused;

/// The models that the score nodes of a plan ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModelsWanted {
    /// Whether there are score nodes.
    pub(crate) any: bool,
    /// Names that only an executor can know.
    pub(crate) names: BTreeSet<String>,
}

impl ModelsWanted {
    /// Those of a plan with these options.
    pub(crate) fn by(plan: &Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Self {
        let options = TamisOptions::from_config(options);
        let mut wanted = Self::default();
        let visited = plan.apply(|node| {
            if let Some(score) = node.downcast_ref::<ScoreExec>() {
                wanted.any = true;
                let chosen = options.unifilter_model();
                let name = score.call().model.as_deref().unwrap_or(&chosen);
                if is_a_name(name) && !options.models().contains_key(name) {
                    wanted.names.insert(name.to_string());
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        debug_assert!(visited.is_ok());
        wanted
    }

    /// Refuses places that may not be run in a session that may reach so much.
    pub(crate) fn check(plan: &Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<(), Refused> {
        let options = TamisOptions::from_config(options);
        let mut checked = Ok(());
        let visited = plan.apply(|node| {
            let name = node.downcast_ref::<ScoreExec>().and_then(|score| score.call().model.as_deref());
            if let Some(name) = name.filter(|name| *name != "default" && !is_a_name(name))
                && !options.models().contains_key(name)
            {
                checked = checked.clone().and(options.reach().may_run(name));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        debug_assert!(visited.is_ok());
        checked
    }

    /// Whether an executor with these models can score.
    pub(crate) fn are_among(&self, models: &[String]) -> bool {
        self.names.iter().all(|name| models.contains(name))
    }
}

/// Whether the text names a model rather than a place: a place has slashes or is a folder's name with dots in front. The
/// default model is in every executor.
pub(crate) fn is_a_name(model: &str) -> bool {
    model != "default" && !model.contains('/') && !model.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places() {
        for name in ["strict", "unifilter-2"] {
            assert!(is_a_name(name), "{name}");
        }
        for place in ["default", "/models/x", "./x", "s3://models/x", "org/model"] {
            assert!(!is_a_name(place), "{place}");
        }
    }
}
