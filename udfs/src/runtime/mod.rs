//! Running models: one owner thread a device, samples prepared ahead on CPU threads.
//!
//! A model is loaded once a process and shared by all queries. `submit` puts a call's rows into the model's queue
//! (`queue`); threads of one pool fetch their files and look up whether the outcome is known (`known`): in the query's
//! own rows, so that rows of the same content are scored once, and in the score cache. Rows that are not known are
//! decoded and tokenised (`prepare`), a bounded number ahead of the device; the first of them has the model loaded
//! (`loading`). The one thread that owns the device packs what is ready into batches by length (`pack`) and runs the
//! forward passes (`device`). Rows of different callers share batches. A panic or an error stays with the row that
//! caused it.

mod cost;
mod device;
mod known;
mod loading;
mod metrics;
mod model;
mod pack;
mod panics;
mod prepare;
mod queue;
mod recent;
mod registry;
mod request;
pub(crate) mod resolve;
mod submission;

use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use tamis_models::Scorer;
use tamis_models::checkpoint::Location;

use crate::cache::{ModelScores, ScoreCache};
use crate::columns::SampleColumns;
use crate::options::{OnError, TamisOptions};
pub use cost::Cost;
use known::Known;
pub use known::QueryScores;
pub use metrics::ScoringMetrics;
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

/// A model with the options of one query: what a plan node or a function scores rows with.
#[derive(Debug, Clone)]
pub struct Scoring {
    model: Arc<ModelHandle>,
    known: Known,
    settings: Settings,
    on_error: OnError,
}

impl Scoring {
    /// Checks at planning time that `model` (the literal third argument; `None` for the session's default) is a name
    /// that the session knows or a location that can be read. Loads nothing.
    pub fn check(family: &str, model: Option<&str>, options: &ConfigOptions) -> Result<()> {
        resolve::check(family, model, &TamisOptions::from_config(options))?;
        Ok(())
    }

    /// Finds the model and, if scores are remembered, what is remembered of it. Loads no weights: they are loaded for
    /// the first row that is not known. Blocks all the same, for a model's fingerprint may have to be made, and what is
    /// remote fetched for that.
    ///
    /// Rows share outcomes with other rows of this `Scoring` and its clones; see [`within`](Self::within).
    pub fn open(family: &str, model: Option<&str>, options: &ConfigOptions) -> Result<Self> {
        let options = TamisOptions::from_config(options);
        let location = resolve::check(family, model, &options)?;
        let key = ModelKey { location, device: options.device(), dtype: options.dtype() };
        let cache = ScoreCache::open(&options);
        let opened = registry::open(&key, cache.is_some())?;
        let remembered = cache.zip(opened.fingerprint).map(|(cache, fingerprint)| cache.model(&fingerprint));
        Ok(Self::new(opened.model, remembered, &options))
    }

    fn new(model: Arc<ModelHandle>, cache: Option<Arc<ModelScores>>, options: &TamisOptions) -> Self {
        let settings = Settings {
            limits: options.limits(),
            budget: options.batch_tokens().for_device(options.device()),
            prefetch: options.prefetch(),
            reach: options.reach().clone(),
        };
        let known = Known { query: QueryScores::default().of_model(model.model()), cache };
        Self { model, known, settings, on_error: options.on_error() }
    }

    /// Shares outcomes with all that score within `query`: rows with the same content are scored once.
    pub fn within(self, query: &Arc<QueryScores>) -> Self {
        let known = Known { query: query.of_model(self.model.model()), ..self.known };
        Self { known, ..self }
    }

    /// Starts scoring the rows of `columns`. The rows are prepared on CPU threads and packed into batches with whatever
    /// else waits for the device. Dropping the future cancels the rows that have not reached the device.
    ///
    /// One outcome a row, in order. An error concerns the batch as a whole (the device failed), not a row.
    pub fn submit(&self, columns: Arc<SampleColumns>, metrics: Arc<ScoringMetrics>) -> Submission {
        let (request, rows, reply) = Request::new(columns, metrics, self.settings.clone(), self.known.clone());
        self.model.submit(request.clone(), rows);
        Submission::new(self.model.clone(), request, reply)
    }

    /// Whether `tamis.scoring.on_error` is `fail`.
    pub fn fail_on_error(&self) -> bool {
        self.on_error == OnError::Fail
    }
}

/// Makes `scorer` the model at `location` in this process, so that queries that name the location run it. For
/// measurements and tests with a stand-in for a device; choose a location that is nobody else's, such as
/// `stand-in://device`. Its scores can be remembered only if `location` has files to tell it by: turn the cache off.
pub fn register_scorer(location: &Location, scorer: &Arc<dyn Scorer>) -> Result<()> {
    Ok(registry::put(location, scorer)?)
}

#[cfg(test)]
mod tests;
