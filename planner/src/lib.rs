//! Where model calls become plan nodes.
//!
//! SQL names a model call several times for one row (in SELECT, in WHERE, in ORDER BY) and calls it on rows that a
//! cheaper predicate would have dropped. [`ExtractModelCalls`] turns each distinct call into one [`ScoreNode`], which
//! is planned as one [`ScoreExec`]: a score is computed once for a row, after the cheap predicates.
//!
//! ```
//! use datafusion::execution::SessionStateBuilder;
//! use datafusion::prelude::SessionContext;
//!
//! let state = tamis_planner::configure(SessionStateBuilder::new_with_default_features()).build();
//! let context = SessionContext::new_with_state(state);
//! # let _ = context;
//! ```

mod error;
mod rules;
mod score_exec;
mod score_metrics;
mod score_node;
mod score_planner;
mod score_stream;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::optimizer::{Optimizer, OptimizerRule};

pub use error::PlannerError;
pub use rules::{DropUnusedScores, ExtractModelCalls};
pub use score_exec::ScoreExec;
pub use score_metrics::IntegerCount;
pub use score_node::ScoreNode;
pub use score_planner::{ScorePlanner, ScoreQueryPlanner};

/// The optimizer rules of a session: `default` with ours in their places, the extraction first and the removal of
/// what is unused last. Each rule says why there.
pub fn optimizer_rules(
    default: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![Arc::new(ExtractModelCalls)];
    rules.extend(default);
    rules.push(Arc::new(DropUnusedScores));
    rules
}

/// The query planner of a session: DataFusion's, which also knows [`ScoreNode`].
pub fn query_planner() -> Arc<dyn QueryPlanner + Send + Sync> {
    Arc::new(ScoreQueryPlanner)
}

/// Gives a session DataFusion's optimizer rules with ours, and our query planner.
///
/// The model functions themselves and the `tamis.*` options are `tamis_udfs`' and are registered by the session.
pub fn configure(builder: SessionStateBuilder) -> SessionStateBuilder {
    builder.with_optimizer_rules(optimizer_rules(Optimizer::new().rules)).with_query_planner(query_planner())
}
