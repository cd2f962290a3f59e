//! Rows that the runtime works on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;
use futures::future::{BoxFuture, Shared};
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt, TryFutureExt};
use tamis_udfs::columns::SampleColumns;
use tamis_udfs::runtime::{Outcome, Scoring, ScoringMetrics};

use super::batch::{Slice, SliceArgs};
use crate::PlannerError;

/// The outcome of one row that stands for all; shareable, and so is its error.
type ConstantOutcome = BoxFuture<'static, Result<Arc<Outcome>, Arc<DataFusionError>>>;

/// Slices of rows that were submitted and not emitted, oldest first.
#[derive(Default)]
pub(super) struct InFlight {
    slices: FuturesOrdered<BoxFuture<'static, Result<ScoredRows>>>,
    rows: usize,
    bytes: usize,
    /// The outcome of a call over constants, which is the same for every row.
    constant: Option<Shared<ConstantOutcome>>,
}

/// Rows and what became of them.
pub(super) struct ScoredRows {
    pub(super) rows: RecordBatch,
    outcomes: Outcomes,
    bytes: usize,
    /// Given back when the rows are emitted.
    _memory: Option<Arc<MemoryReservation>>,
}

enum Outcomes {
    Each(Vec<Outcome>),
    Same(Arc<Outcome>),
}

impl ScoredRows {
    /// One outcome a row.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        let rows = self.rows.num_rows();
        let (each, same): (&[Outcome], _) = match &self.outcomes {
            Outcomes::Each(outcomes) => (outcomes, None),
            Outcomes::Same(outcome) => (&[], Some(outcome.as_ref())),
        };
        each.iter().chain(same.into_iter().flat_map(move |outcome| std::iter::repeat_n(outcome, rows)))
    }
}

impl InFlight {
    pub(super) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the rows in flight, as reserved for the batches that they are part of.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Starts scoring `slice`.
    pub(super) fn submit(&mut self, slice: Slice, scoring: &Scoring, metrics: Arc<ScoringMetrics>) -> Result<()> {
        let Slice { rows, bytes, args, refused, memory } = slice;
        let outcomes = match args {
            SliceArgs::Rows { args, selection } => {
                let expected = rows.num_rows();
                metrics.rows_failed.fetch_add(refused.len() as u64, Ordering::Relaxed);
                let outcomes = submit(scoring, &args, selection, expected, metrics)?;
                outcomes.map_ok(move |outcomes| Outcomes::Each(with_refused(outcomes, refused))).boxed()
            }
            SliceArgs::Constant(args) => {
                let constant = match &self.constant {
                    Some(constant) => constant.clone(),
                    None => {
                        let outcome = submit(scoring, &args, None, 1, metrics)?
                            .map_ok(|outcomes| Arc::new(outcomes.into_iter().next().unwrap_or(Outcome::Null)))
                            .map_err(Arc::new);
                        self.constant.insert(outcome.boxed().shared()).clone()
                    }
                };
                constant.map_ok(Outcomes::Same).map_err(DataFusionError::Shared).boxed()
            }
        };
        self.rows += rows.num_rows();
        self.bytes += bytes;
        self.slices
            .push_back(outcomes.map_ok(move |outcomes| ScoredRows { rows, outcomes, bytes, _memory: memory }).boxed());
        Ok(())
    }

    /// The oldest rows, when they are done.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ScoredRows>>> {
        let next = ready!(self.slices.poll_next_unpin(cx));
        if let Some(Ok(scored)) = &next {
            self.rows -= scored.rows.num_rows();
            self.bytes -= scored.bytes;
        }
        Poll::Ready(next)
    }
}

fn with_refused(mut outcomes: Vec<Outcome>, refused: Vec<(usize, Arc<str>)>) -> Vec<Outcome> {
    for (row, reason) in refused {
        outcomes[row] = Outcome::Failed(reason);
    }
    outcomes
}

/// Starts scoring the rows of `args`, of which there are `rows`; with a selection, those that it selects.
fn submit(
    scoring: &Scoring,
    args: &[ArrayRef],
    selection: Option<BooleanArray>,
    rows: usize,
    metrics: Arc<ScoringMetrics>,
) -> Result<impl Future<Output = Result<Vec<Outcome>>> + Send + 'static> {
    let columns = SampleColumns::try_new(args)?;
    let columns = match selection {
        Some(selection) => columns.with_selection(selection),
        None => columns,
    };
    let outcomes = scoring.submit(Arc::new(columns), metrics);
    Ok(outcomes.map(move |outcomes| {
        let outcomes = outcomes?;
        match outcomes.len() == rows {
            true => Ok(outcomes),
            false => Err(PlannerError::OutcomeCount { rows, outcomes: outcomes.len() }.into()),
        }
    }))
}
