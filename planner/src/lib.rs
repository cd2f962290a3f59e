//! Where model calls become plan nodes.
//!
//! SQL names a model call several times for one row (in SELECT, in WHERE, in ORDER BY) and calls it on rows that a
//! cheaper predicate would have dropped. [`ExtractModelCalls`] turns each distinct call into one [`ScoreNode`], which
//! is planned as one [`ScoreExec`]: a score is computed once for a row, after the cheap predicates. [`FetchLate`] keeps
//! heavy columns out of sorts of which few rows are kept: a [`FetchNode`] reads them for the winners.
//!
//! ```
//! use datafusion::execution::SessionStateBuilder;
//! use datafusion::prelude::SessionContext;
//!
//! let state = tamis_planner::configure(SessionStateBuilder::new_with_default_features()).build();
//! let context = SessionContext::new_with_state(state);
//! # let _ = context;
//! ```

pub mod codec;
mod error;
mod fetch_exec;
mod fetch_node;
mod fetch_planner;
mod fetch_stream;
mod heavy;
mod marked;
mod model_call;
mod row_source;
mod rules;
mod score_columns;
mod score_exec;
mod score_metrics;
mod score_node;
mod score_planner;
mod score_stream;
mod sieve;
mod small_batches;
mod stop_signal;
mod whole_keys;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::optimizer::{Optimizer, OptimizerRule};

pub use error::PlannerError;
pub use fetch_exec::FetchExec;
pub use fetch_node::{FetchNode, FetchedColumn};
pub use fetch_planner::FetchPlanner;
pub use marked::marked;
pub use model_call::ModelCall;
pub use row_source::{RowReader, RowSource, RowTable};
pub use rules::{DeferScores, DropConsumedColumns, DropUnusedScores, ExtractModelCalls, FetchLate, StopWhenEnough};
pub use score_columns::ScoreColumns;
pub use score_exec::{ScoreExec, ScoreSettings};
pub use score_metrics::IntegerCount;
pub use score_node::ScoreNode;
pub use score_planner::{ScorePlanner, ScoreQueryPlanner};
pub use sieve::Sieve;
pub use stop_signal::StopSignal;

/// The optimizer rules of a session: `default` with ours in their places. First calls become nodes, which move behind
/// what leaves out rows; last, when DataFusion's rules have done theirs, what is unused goes and what is large and can wait
/// is fetched late. Each rule says why there.
pub fn optimizer_rules(
    default: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let first: [Arc<dyn OptimizerRule + Send + Sync>; 2] = [Arc::new(ExtractModelCalls), Arc::new(DeferScores)];
    let last: [Arc<dyn OptimizerRule + Send + Sync>; 4] =
        [Arc::new(DropUnusedScores), Arc::new(StopWhenEnough), Arc::new(FetchLate), Arc::new(DropConsumedColumns)];
    first.into_iter().chain(default).chain(last).collect()
}

/// The query planner of a session: DataFusion's, which also knows [`ScoreNode`] and [`FetchNode`].
pub fn query_planner() -> Arc<dyn QueryPlanner + Send + Sync> {
    Arc::new(ScoreQueryPlanner::default())
}

/// Gives a session DataFusion's optimizer rules with ours, and our query planner.
///
/// The model functions themselves and the `tamis.*` options are `tamis_udfs`' and are registered by the session.
pub fn configure(builder: SessionStateBuilder) -> SessionStateBuilder {
    builder.with_optimizer_rules(optimizer_rules(Optimizer::new().rules)).with_query_planner(query_planner())
}
