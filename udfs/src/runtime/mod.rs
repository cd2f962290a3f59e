//! Running models: one owner thread a device, samples prepared ahead on CPU threads.
//!
//! A model is loaded once a process and shared by all queries. `submit` puts a call's rows into the model's queue
//! (`queue`); threads of one pool fetch, decode and tokenise them (`prepare`), a bounded number ahead of the device; the
//! one thread that owns the device packs what is ready into batches by length (`pack`) and runs the forward passes
//! (`device`). Rows of different callers share batches. A panic or an error stays with the row that caused it.

mod device;
mod model;
mod pack;
mod panics;
mod prepare;
mod queue;
mod registry;
mod request;
mod resolve;
mod submission;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;

use crate::columns::SampleColumns;
use crate::options::{OnError, TamisOptions};
use model::ModelHandle;
use registry::ModelKey;
use request::{Request, Settings};
pub use submission::Submission;

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
pub struct Scoring {
    model: Arc<ModelHandle>,
    settings: Settings,
    on_error: OnError,
}

impl Scoring {
    /// Checks at planning time that `model` (the literal third argument; `None` for the session's default) is a name
    /// that the session knows or a location that can be read. Loads nothing.
    pub fn check(family: &str, model: Option<&str>, options: &ConfigOptions) -> Result<()> {
        Ok(resolve::check(family, model, &TamisOptions::from_config(options))?)
    }

    /// Loads the model, or finds it loaded. Blocks for as long as that takes.
    pub fn open(family: &str, model: Option<&str>, options: &ConfigOptions) -> Result<Self> {
        let options = TamisOptions::from_config(options);
        let location = resolve::resolve(family, model, &options)?;
        let key = ModelKey { location, device: options.device(), dtype: options.dtype() };
        Ok(Self::new(registry::open(&key)?, &options))
    }

    fn new(model: Arc<ModelHandle>, options: &TamisOptions) -> Self {
        let settings = Settings {
            limits: options.limits(),
            budget: options.batch_tokens().for_device(options.device()),
            prefetch: options.prefetch(),
        };
        Self { model, settings, on_error: options.on_error() }
    }

    /// Starts scoring the rows of `columns`. The rows are prepared on CPU threads and packed into batches with whatever
    /// else waits for the device. Dropping the future cancels the rows that have not reached the device.
    ///
    /// One outcome a row, in order. An error concerns the batch as a whole (the device failed), not a row.
    pub fn submit(&self, columns: Arc<SampleColumns>, metrics: Arc<ScoringMetrics>) -> Submission {
        let (request, rows, reply) = Request::new(columns, metrics, self.settings.clone());
        self.model.submit(request.clone(), rows);
        Submission::new(self.model.clone(), request, reply)
    }

    /// Whether `tamis.scoring.on_error` is `fail`.
    pub fn fail_on_error(&self) -> bool {
        self.on_error == OnError::Fail
    }

    /// Identifies the model's arithmetic: equal fingerprints give equal scores.
    pub fn fingerprint(&self) -> &str {
        self.model.scorer().fingerprint()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
