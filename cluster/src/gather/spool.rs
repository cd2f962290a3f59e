//! The rows of a task, brought here whole.
//!
//! An executor can be lost while its rows are read. They are passed on when all of them are here: a task that is run again may give
//! them in other batches.

use std::sync::Arc;

use ballista_core::execution_plans::ShuffleReaderExec;
use ballista_core::serde::scheduler::PartitionLocation;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::spill_pool::{SpillPoolSink, spsc_channel};
use datafusion::physical_plan::spill::{SpillManager, get_record_batch_memory_size};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use futures::{StreamExt, stream};

/// Rows of a task that take more bytes go to a file.
const IN_MEMORY: usize = 32 << 20;
/// A file is removed when it has been read: so large it gets before there is another.
const FILE: usize = 128 << 20;
/// Where an executor of this process would have its files: it has none here, so that all are asked for.
const NOWHERE: &str = "/nonexistent";

/// Why rows are not here.
pub(super) enum NotFetched {
    /// They could not be read from where they are.
    Lost(DataFusionError),
    /// They could not be kept here.
    NotKept(DataFusionError),
}

/// Fetches the rows of a task.
pub(super) async fn fetch(
    location: &PartitionLocation,
    schema: &SchemaRef,
    metrics: &ExecutionPlanMetricsSet,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream, NotFetched> {
    let mut rows = read(location, schema, context).map_err(NotFetched::Lost)?;
    let mut kept = Kept::new(schema, metrics, context);
    while let Some(batch) = rows.next().await {
        kept.add(batch.map_err(NotFetched::Lost)?).map_err(NotFetched::NotKept)?;
    }
    Ok(kept.into_stream(schema))
}

fn read(
    location: &PartitionLocation,
    schema: &SchemaRef,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let (stage, one) = (location.partition_id.stage_id, Partitioning::UnknownPartitioning(1));
    let reader = ShuffleReaderExec::try_new(stage, vec![vec![location.clone()]], Arc::clone(schema), one)?;
    reader.with_work_dir(NOWHERE.into()).execute(0, Arc::clone(context))
}

/// Rows that are here: in memory, or all of them in files.
struct Kept {
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
    spills: Arc<SpillManager>,
    files: Option<(SpillPoolSink, SendableRecordBatchStream)>,
}

impl Kept {
    fn new(schema: &SchemaRef, metrics: &ExecutionPlanMetricsSet, context: &Arc<TaskContext>) -> Self {
        let memory = MemoryConsumer::new("rows of a task").register(context.memory_pool());
        let spills = SpillManager::new(context.runtime_env(), SpillMetrics::new(metrics, 0), Arc::clone(schema));
        Self { batches: vec![], memory, spills: Arc::new(spills), files: None }
    }

    fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let bytes = get_record_batch_memory_size(&batch);
        let fits = self.memory.size() + bytes <= IN_MEMORY;
        if self.files.is_none() && fits && self.memory.try_grow(bytes).is_ok() {
            self.batches.push(batch);
            return Ok(());
        }
        let (writer, _) = self.files.get_or_insert_with(|| spsc_channel(FILE, Arc::clone(&self.spills)));
        // Those that are in memory go first.
        for batch in self.batches.drain(..).chain([batch]) {
            writer.push_batch(&batch)?;
        }
        self.memory.free();
        Ok(())
    }

    fn into_stream(self, schema: &SchemaRef) -> SendableRecordBatchStream {
        let Self { batches, memory, files, .. } = self;
        if let Some((writer, rows)) = files {
            drop(writer);
            return rows;
        }
        // The memory is given back with the stream.
        let rows = stream::unfold((batches.into_iter(), memory), |(mut batches, memory)| async move {
            let batch = batches.next()?;
            Some((Ok(batch), (batches, memory)))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), rows))
    }
}
