//! The optimizer rules.

mod columns;
mod defer_scores;
mod drop_consumed_columns;
mod drop_unused_scores;
mod extract_model_calls;
mod fetch_late;
mod hidden_names;
mod stop_when_enough;
#[cfg(test)]
mod test_plans;

use datafusion::optimizer::OptimizerConfig;
use tamis_udfs::options::TamisOptions;

pub use defer_scores::DeferScores;
pub use drop_consumed_columns::DropConsumedColumns;
pub use drop_unused_scores::DropUnusedScores;
pub use extract_model_calls::ExtractModelCalls;
pub use fetch_late::FetchLate;
pub use stop_when_enough::StopWhenEnough;

/// Whether `tamis.planner.enabled` is on. A session without the options has their defaults.
fn is_enabled(config: &dyn OptimizerConfig) -> bool {
    TamisOptions::from_config(&config.options()).planner_enabled()
}
