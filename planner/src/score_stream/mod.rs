//! The stream that scores a partition's rows.

mod batch;
mod demand;
mod in_flight;
mod size;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::{ArrayRef, Float32Builder, RecordBatch, StringBuilder};
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_plan::metrics::BaselineMetrics;
use futures::stream::Fuse;
use futures::{FutureExt, Stream, StreamExt};
use tamis_udfs::options::TamisOptions;
use tamis_udfs::runtime::{Outcome, QueryScores, Scoring};
use tokio_util::sync::WaitForCancellationFutureOwned;

use self::batch::ReadBatch;
pub(crate) use self::demand::Demand;
use self::demand::Run;
use self::in_flight::{InFlight, ScoredRows};
use crate::model_call::ModelCall;
use crate::score_metrics::PartitionMetrics;
use crate::{PlannerError, ScoreExec, StopSignal};

/// Batches are read ahead while those held take less than this.
const READ_AHEAD_BYTES: usize = 64 << 20;
/// Rows in flight, in multiples of what the runtime prepares ahead: while the device works on some and others are
/// prepared, finished ones wait for the slowest before them.
const IN_FLIGHT_PREFETCHES: usize = 4;

/// Scores the rows of `input`, which is a partition of `exec`'s input.
pub(crate) fn score_stream(
    exec: &ScoreExec,
    partition: usize,
    input: SendableRecordBatchStream,
    context: &TaskContext,
) -> SendableRecordBatchStream {
    let options = Arc::clone(context.session_config().options());
    let prefetch = TamisOptions::from_config(&options).prefetch().max(1);
    let memory = MemoryConsumer::new(format!("ScoreExec[{partition}]")).register(context.memory_pool());
    Box::pin(ScoreStream {
        schema: exec.output_schema(),
        call: exec.call().clone(),
        when: exec.when().cloned(),
        emptied: exec.emptied(),
        wants_error: exec.columns().error.is_some(),
        input: input.fuse(),
        input_is_done: false,
        model: Model::NotNeeded { scores: Arc::clone(exec.scores()), options },
        demand: exec.demand().map(|demand| demand.start(partition)),
        waiting: None,
        in_flight: InFlight::default(),
        slice_rows: prefetch,
        max_rows: prefetch.saturating_mul(IN_FLIGHT_PREFETCHES),
        memory,
        is_done: false,
        stopped: StopSignal::of(context.session_config()).map(|stop| Box::pin(stop.stopped())),
        baseline: BaselineMetrics::new(exec.metrics_set(), partition),
        metrics: PartitionMetrics::new(exec.metrics_set(), partition),
    })
}

/// Pull-driven: polled, it reads and submits as far as its bounds allow and gives the oldest rows when they are
/// scored; not polled, it does nothing, while the runtime finishes what was submitted. Dropped, it takes the futures
/// of the rows in flight with it, which cancels them.
struct ScoreStream {
    schema: SchemaRef,
    call: ModelCall<PhysicalExprRef>,
    when: Option<PhysicalExprRef>,
    emptied: Vec<usize>,
    wants_error: bool,
    input: Fuse<SendableRecordBatchStream>,
    input_is_done: bool,
    model: Model,
    demand: Option<Arc<Run>>,
    waiting: Option<ReadBatch>,
    in_flight: InFlight,
    slice_rows: usize,
    max_rows: usize,
    /// Empty itself: the parent of the batches' reservations.
    memory: MemoryReservation,
    is_done: bool,
    /// Ends the stream whatever it waits for.
    stopped: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    baseline: BaselineMetrics,
    metrics: PartitionMetrics,
}

/// The model, which is opened for the first row: a partition without rows needs none.
enum Model {
    NotNeeded { scores: Arc<QueryScores>, options: Arc<ConfigOptions> },
    Opening(SpawnedTask<Result<Scoring>>),
    Open(Scoring),
}

impl Model {
    fn poll_open(&mut self, call: &ModelCall<PhysicalExprRef>, cx: &mut Context<'_>) -> Poll<Result<&Scoring>> {
        if let Self::NotNeeded { scores, options } = self {
            let (family, name) = (call.family.clone(), call.model.clone());
            let (scores, options) = (Arc::clone(scores), Arc::clone(options));
            // Opening reads files: not on a thread of the async runtime.
            *self = Self::Opening(SpawnedTask::spawn_blocking(move || {
                Ok(Scoring::open(&family, name.as_deref(), &options)?.within(&scores))
            }));
        }
        if let Self::Opening(task) = self {
            let opened = ready!(task.poll_unpin(cx));
            *self = Self::Open(opened.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))??);
        }
        match self {
            Self::Open(scoring) => Poll::Ready(Ok(scoring)),
            Self::NotNeeded { .. } | Self::Opening(_) => Poll::Pending,
        }
    }
}

impl ScoreStream {
    fn poll_scored(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        if self.demand.as_ref().is_some_and(|demand| demand.is_met()) {
            return Poll::Ready(None);
        }
        self.fill(cx)?;
        match ready!(self.in_flight.poll_next(cx)) {
            Some(scored) => Poll::Ready(Some(self.finish(scored?))),
            // The input is pending, or the model is: the one that is has taken the waker.
            None if self.waiting.is_some() || !self.input_is_done => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    /// Reads and submits until a bound is reached or the input has nothing more for now.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<()> {
        loop {
            if self.waiting.is_none() {
                if self.input_is_done || !self.may_read() {
                    return Ok(());
                }
                match self.input.poll_next_unpin(cx)? {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(None) => self.input_is_done = true,
                    Poll::Ready(Some(batch)) if batch.num_rows() == 0 => {}
                    Poll::Ready(Some(batch)) => {
                        let timer = self.baseline.elapsed_compute().timer();
                        self.waiting = Some(ReadBatch::try_new(&batch, &self.call, self.when.as_ref(), &self.emptied)?);
                        timer.done();
                    }
                }
                continue;
            }
            let Poll::Ready(scoring) = self.model.poll_open(&self.call, cx) else { return Ok(()) };
            let scoring = scoring?;
            let Some(batch) = &mut self.waiting else { return Ok(()) };
            match batch.reserve(&self.memory) {
                Ok(()) => {}
                // What is in flight gives its memory back.
                Err(_) if !self.in_flight.is_empty() => return Ok(()),
                Err(e) => return Err(e),
            }
            loop {
                let room = room(&self.in_flight, self.slice_rows, self.max_rows, self.demand.as_deref());
                if room == 0 {
                    break;
                }
                let Some(slice) = batch.next_slice(room) else { break };
                self.in_flight.submit(slice, scoring, self.metrics.runtime())?;
            }
            if !batch.is_done() {
                return Ok(());
            }
            self.waiting = None;
        }
    }

    fn may_read(&self) -> bool {
        self.in_flight.is_empty()
            || (room(&self.in_flight, 1, self.max_rows, self.demand.as_deref()) > 0
                && self.in_flight.bytes() < READ_AHEAD_BYTES)
    }

    /// The output for scored rows.
    fn finish(&self, scored: ScoredRows) -> Result<RecordBatch> {
        let _timer = self.baseline.elapsed_compute().timer();
        let fails = matches!(&self.model, Model::Open(scoring) if scoring.fail_on_error());
        let rows = scored.rows.num_rows();
        let mut scores = Float32Builder::with_capacity(rows);
        let mut errors = StringBuilder::new();
        for outcome in scored.outcomes() {
            match outcome {
                Outcome::Failed(reason) if fails => {
                    let (family, reason) = (self.call.family.clone(), reason.to_string());
                    return Err(PlannerError::RowFailed { family, reason }.into());
                }
                Outcome::Failed(reason) => {
                    scores.append_null();
                    errors.append_value(reason);
                }
                Outcome::Score(score) => {
                    scores.append_value(*score);
                    errors.append_null();
                }
                Outcome::Null => {
                    scores.append_null();
                    errors.append_null();
                }
            }
        }
        let mut columns = scored.rows.columns().to_vec();
        columns.push(Arc::new(scores.finish()) as ArrayRef);
        if self.wants_error {
            columns.push(Arc::new(errors.finish()));
        }
        let scored = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        if let Some(demand) = &self.demand {
            demand.count(&scored)?;
        }
        Ok(scored)
    }
}

/// How many rows may be submitted at once now: a whole slice or none, unless the demand sets the pace.
fn room(in_flight: &InFlight, slice: usize, max: usize, demand: Option<&Run>) -> usize {
    match demand {
        None if in_flight.is_empty() || in_flight.rows() + slice <= max => slice,
        None => 0,
        Some(demand) => slice.min(demand.rows_in_flight().min(max).saturating_sub(in_flight.rows())),
    }
}

impl Stream for ScoreStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let is_stopped = self.stopped.as_mut().is_some_and(|stopped| stopped.as_mut().poll(cx).is_ready());
        let poll = match is_stopped {
            true => Poll::Ready(Some(Err(PlannerError::Stopped.into()))),
            false => self.poll_scored(cx),
        };
        self.metrics.catch_up();
        if let Poll::Ready(None | Some(Err(_))) = &poll {
            self.is_done = true;
            self.waiting = None;
            self.in_flight = InFlight::default();
        }
        self.baseline.record_poll(poll)
    }
}

impl RecordBatchStream for ScoreStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
