//! The optimizer rules.

mod drop_unused_scores;
mod extract_model_calls;

use datafusion::optimizer::OptimizerConfig;
use tamis_udfs::options::TamisOptions;

pub use drop_unused_scores::DropUnusedScores;
pub use extract_model_calls::ExtractModelCalls;

/// Whether `tamis.planner.enabled` is on. A session without the options has their defaults.
fn is_enabled(config: &dyn OptimizerConfig) -> bool {
    TamisOptions::from_config(&config.options()).planner_enabled()
}
