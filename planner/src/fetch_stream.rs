//! The stream that fetches columns for a partition's rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{DataType, SchemaRef, UInt64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, MetricBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{FetchExec, PlannerError, RowReader};

/// So many files are read at once.
const CONCURRENT_FILES: usize = 8;
/// The first rows are fetched so many at a time ...
const FIRST_CHUNK: usize = 16;
/// ... those behind so many that they are expected to weigh this much ...
const CHUNK_BYTES: usize = 32 << 20;
/// ... and no more than these.
const LAST_CHUNK: usize = 2048;

/// Completes the rows of `input`, which is a partition of `exec`'s input.
pub(crate) fn fetch_stream(
    exec: &FetchExec,
    partition: usize,
    input: SendableRecordBatchStream,
    context: Arc<TaskContext>,
) -> SendableRecordBatchStream {
    let schema = exec.output_schema();
    // A column that appears under two names is read once.
    let places: Vec<usize> =
        exec.columns().iter().map(|(place, _)| *place).collect::<BTreeSet<_>>().into_iter().collect();
    let of_outputs = exec.columns().iter().filter_map(|(place, _)| places.binary_search(place).ok()).collect();
    let fetch = Fetch {
        reader: Arc::clone(exec.reader()),
        file: exec.file(),
        row: exec.row(),
        places,
        of_outputs,
        schema: Arc::clone(&schema),
        scanned: MetricBuilder::new(exec.metrics_set()).counter("bytes_scanned", partition),
        fetched: MetricBuilder::new(exec.metrics_set()).counter("rows_fetched", partition),
        baseline: BaselineMetrics::new(exec.metrics_set(), partition),
        memory: MemoryConsumer::new(format!("FetchExec[{partition}]")).register(context.memory_pool()),
        context,
        input,
        waiting: None,
        chunk: FIRST_CHUNK,
    };
    let batches = stream::try_unfold(fetch, |mut fetch| async move {
        let next = fetch.next().await?;
        Ok::<_, DataFusionError>(next.map(|batch| (batch, fetch)))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

struct Fetch {
    reader: Arc<dyn RowReader>,
    file: usize,
    row: usize,
    /// The columns that are read, each once.
    places: Vec<usize>,
    /// Of each fetched output column, which of these it is.
    of_outputs: Vec<usize>,
    schema: SchemaRef,
    scanned: Count,
    fetched: Count,
    baseline: BaselineMetrics,
    memory: MemoryReservation,
    context: Arc<TaskContext>,
    input: SendableRecordBatchStream,
    /// Rows that are not fetched yet.
    waiting: Option<RecordBatch>,
    /// How many rows are fetched next.
    chunk: usize,
}

/// The rows that were read of a chunk: batches of the files, and where each address lies in them.
#[derive(Default)]
struct Found {
    batches: Vec<RecordBatch>,
    places: HashMap<(String, u64), (usize, usize)>,
}

impl Fetch {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        // What was given out is the receiver's.
        self.memory.free();
        let batch = loop {
            match self.waiting.take() {
                Some(batch) if batch.num_rows() > 0 => break batch,
                _ => match self.input.try_next().await? {
                    Some(batch) => self.waiting = Some(batch),
                    None => return Ok(None),
                },
            }
        };
        let count = self.chunk.min(batch.num_rows());
        self.waiting = Some(batch.slice(count, batch.num_rows() - count));
        let batch = self.complete(&batch.slice(0, count)).await?;
        self.baseline.record_output(batch.num_rows());
        Ok(Some(batch))
    }

    async fn complete(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let files = cast(rows.column(self.file), &DataType::Utf8)?;
        let numbers: &UInt64Array = rows.column(self.row).as_primitive_opt::<UInt64Type>().ok_or_else(|| {
            let reason = format!("a row number of type {}", rows.column(self.row).data_type());
            PlannerError::InvalidFetch { reason }
        })?;
        if files.null_count() + numbers.null_count() > 0 {
            return Err(PlannerError::InvalidFetch { reason: "an address is NULL".into() }.into());
        }
        let files = files.as_string::<i32>();
        let mut wanted: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        for (row, number) in numbers.values().iter().enumerate() {
            wanted.entry(files.value(row)).or_default().insert(*number);
        }
        let found = self.read(wanted).await?;
        let lookup = |row: usize| {
            let address = (files.value(row).to_string(), numbers.value(row));
            found.places.get(&address).copied().ok_or(PlannerError::RowsMissing { file: address.0 })
        };
        let places = (0..rows.num_rows()).map(lookup).collect::<Result<Vec<_>, _>>()?;
        let column = |column: usize| {
            let arrays: Vec<&dyn Array> = found.batches.iter().map(|batch| batch.column(column).as_ref()).collect();
            interleave(&arrays, &places)
        };
        let fetched = (0..self.places.len()).map(column).collect::<Result<Vec<ArrayRef>, _>>()?;
        let bytes: usize = fetched.iter().map(|array| array.get_array_memory_size()).sum();
        self.memory.try_grow(bytes)?;
        self.fetched.add(rows.num_rows());
        self.chunk = (CHUNK_BYTES / (bytes / rows.num_rows().max(1)).max(1)).clamp(1, LAST_CHUNK);
        let fetched = self.of_outputs.iter().map(|column| Arc::clone(&fetched[*column]));
        let columns = rows.columns().iter().cloned().chain(fetched).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Reads the rows of these numbers from each file.
    async fn read(&mut self, wanted: BTreeMap<&str, BTreeSet<u64>>) -> Result<Found> {
        let mut streams = vec![];
        for (file, numbers) in wanted {
            let numbers: Arc<[u64]> = numbers.into_iter().collect();
            let rows =
                self.reader.fetch_rows(file, Arc::clone(&numbers), &self.places, &self.context, &self.scanned)?;
            streams.push((file.to_string(), numbers, rows));
        }
        let mut reading = stream::iter(streams)
            .map(|(file, numbers, rows)| async move {
                Ok::<_, DataFusionError>((file, numbers, rows.try_collect::<Vec<_>>().await?))
            })
            .buffer_unordered(CONCURRENT_FILES)
            .boxed();
        let mut found = Found::default();
        while let Some(read) = reading.next().await {
            let (file, numbers, batches): (String, Arc<[u64]>, Vec<RecordBatch>) = read?;
            let mut numbers = numbers.iter();
            for batch in batches {
                self.memory.try_grow(batch.get_array_memory_size())?;
                for (row, number) in (0..batch.num_rows()).zip(&mut numbers) {
                    found.places.insert((file.clone(), *number), (found.batches.len(), row));
                }
                found.batches.push(batch);
            }
        }
        Ok(found)
    }
}
