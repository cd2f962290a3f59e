//! One call of `submit`: the rows that it asked for, who counts them and who waits for the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::channel::oneshot;
use parking_lot::Mutex;
use tamis_models::{Limits, Prepared};

use super::known::{Known, Owner};
use super::{Outcome, ScoringMetrics};
use crate::columns::SampleColumns;
use crate::error::Error;
use crate::reach::Reach;

/// What a request asks of the runtime, as its session has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// What bounds a sample.
    pub(super) limits: Limits,
    /// Positions of the language model's sequence in one forward pass.
    pub(super) budget: usize,
    /// Rows of the model that are prepared or being prepared at once.
    pub(super) prefetch: usize,
    /// Where files may be fetched.
    pub(super) reach: Reach,
}

/// The rows of one `submit`.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) columns: Arc<SampleColumns>,
    pub(super) metrics: Arc<ScoringMetrics>,
    pub(super) settings: Settings,
    pub(super) known: Known,
    cancelled: AtomicBool,
    answer: Mutex<Answer>,
}

#[derive(Debug)]
struct Answer {
    outcomes: Vec<Outcome>,
    open: usize,
    reply: Option<oneshot::Sender<Result<Vec<Outcome>, Error>>>,
}

pub(super) type Reply = oneshot::Receiver<Result<Vec<Outcome>, Error>>;

/// Where a row's outcome comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The model, or what comes before it.
    Model,
    /// The score cache.
    Cache,
    /// Another row of the query.
    Shared,
}

impl Request {
    /// A request for the rows of `columns` that are not NULL: it, their numbers, and where the answer will come.
    pub(super) fn new(
        columns: Arc<SampleColumns>,
        metrics: Arc<ScoringMetrics>,
        settings: Settings,
        known: Known,
    ) -> (Arc<Self>, Vec<usize>, Reply) {
        let rows: Vec<usize> = (0..columns.len()).filter(|row| !columns.is_null(*row)).collect();
        let (sender, receiver) = oneshot::channel();
        let answer = Answer { outcomes: vec![Outcome::Null; columns.len()], open: rows.len(), reply: Some(sender) };
        let (cancelled, answer) = (AtomicBool::new(false), Mutex::new(answer));
        let request = Self { columns, metrics, settings, known, cancelled, answer };
        if rows.is_empty() {
            request.answer.lock().send();
        }
        (Arc::new(request), rows, receiver)
    }

    /// Whether nobody waits for this request's rows any more.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Gives up: rows that have not reached the device are skipped.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Records a row's outcome; the last one sends the answer.
    pub(super) fn finish(&self, row: usize, outcome: Outcome, source: Source) {
        let count = match (source, &outcome) {
            (Source::Cache, _) => Some(&self.metrics.cache_hits),
            (Source::Shared, _) => Some(&self.metrics.rows_shared),
            (Source::Model, Outcome::Score(_)) => Some(&self.metrics.rows_scored),
            (Source::Model, Outcome::Failed(_) | Outcome::Null) => None,
        };
        let failed = matches!(outcome, Outcome::Failed(_)).then_some(&self.metrics.rows_failed);
        for counter in [count, failed].into_iter().flatten() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if let Outcome::Score(score) = &outcome {
            self.known.query.model().recent().push(*score);
        }
        let mut answer = self.answer.lock();
        answer.outcomes[row] = outcome;
        answer.open -= 1;
        if answer.open == 0 {
            answer.send();
        }
    }

    /// Answers with an error that concerns no single row; the remaining rows are skipped.
    pub(super) fn fail(&self, error: Error) {
        self.cancel();
        if let Some(reply) = self.answer.lock().reply.take() {
            // A failure to send means that nobody waits any more.
            let _ = reply.send(Err(error));
        }
    }
}

impl Answer {
    fn send(&mut self) {
        if let Some(reply) = self.reply.take() {
            // A failure to send means that nobody waits any more.
            let _ = reply.send(Ok(std::mem::take(&mut self.outcomes)));
        }
    }
}

/// One row of a request on its way.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) request: Arc<Request>,
    pub(super) row: usize,
}

/// A row that waits for the device.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) owner: Owner,
    pub(super) sample: Prepared,
}
