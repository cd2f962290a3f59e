//! Running models: one owner thread a device, samples prepared ahead on CPU threads.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;

use crate::columns::SampleColumns;

/// What became of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// An argument is NULL: the score is NULL, and that is no error.
    Null,
    /// The score.
    Score(f32),
    /// The row cannot be scored, and why.
    Failed(Arc<str>),
}

/// Counts of one consumer of a model, shared with the runtime.
#[derive(Debug, Default)]
pub struct ScoringMetrics {
    /// Rows handed to the model's forward pass.
    pub model_calls: AtomicU64,
    /// Rows that the model scored.
    pub rows_scored: AtomicU64,
    /// Rows that could not be scored.
    pub rows_failed: AtomicU64,
    /// Forward passes that held at least one of this consumer's rows.
    pub batches: AtomicU64,
    /// CPU time spent on preparing, summed over threads, in nanoseconds.
    pub prepare_nanos: AtomicU64,
    /// Time of the forward passes, in nanoseconds, shared out by rows where a pass held other consumers' rows too.
    pub forward_nanos: AtomicU64,
}

/// A loaded model with the options of one query: what a plan node or a function scores rows with.
#[derive(Debug, Clone)]
pub struct Scoring {}

impl Scoring {
    /// Checks at planning time that `model` (the literal third argument; `None` for the session's default) is a name
    /// that the session knows or a location that can be read. Loads nothing.
    pub fn check(_family: &str, _model: Option<&str>, _options: &ConfigOptions) -> Result<()> {
        Ok(())
    }

    /// Loads the model, or finds it loaded. Blocks for as long as that takes.
    pub fn open(_family: &str, _model: Option<&str>, _options: &ConfigOptions) -> Result<Self> {
        Ok(Self {})
    }

    /// Starts scoring the rows of `columns`. The rows are prepared on CPU threads and packed into batches with whatever
    /// else waits for the device. Dropping the future cancels the rows that have not reached the device.
    ///
    /// One outcome a row, in order. An error concerns the batch as a whole (the device failed), not a row.
    pub fn submit(
        &self,
        columns: Arc<SampleColumns>,
        metrics: Arc<ScoringMetrics>,
    ) -> impl Future<Output = Result<Vec<Outcome>>> + Send + 'static {
        drop(metrics);
        let n = columns.len();
        async move { Ok(vec![Outcome::Null; n]) }
    }

    /// Whether `tamis.scoring.on_error` is `fail`.
    pub fn fail_on_error(&self) -> bool {
        false
    }
}
