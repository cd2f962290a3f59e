//! A record batch on its way through the model: cut into slices, its memory held until the last one is done.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExprRef;

use super::size::batch_bytes;

/// A batch that was read and of which some rows are not submitted yet.
#[derive(Debug)]
pub(super) struct ReadBatch {
    batch: RecordBatch,
    args: Args,
    next_row: usize,
    memory: Option<Arc<MemoryReservation>>,
}

/// The arguments' values for a batch.
#[derive(Debug)]
enum Args {
    /// An array of the batch's length each.
    Rows(Vec<ArrayRef>),
    /// Each a single value for all rows: one row to score.
    Constant(Vec<ArrayRef>),
}

/// Rows to score.
pub(super) struct Slice {
    pub(super) rows: RecordBatch,
    pub(super) args: SliceArgs,
    /// Held until the rows are emitted.
    pub(super) memory: Option<Arc<MemoryReservation>>,
}

/// The arguments' values for a slice.
pub(super) enum SliceArgs {
    /// An array of the slice's length each.
    Rows(Vec<ArrayRef>),
    /// Arrays of one row that stands for all.
    Constant(Vec<ArrayRef>),
}

impl ReadBatch {
    pub(super) fn try_new(batch: RecordBatch, args: &[PhysicalExprRef]) -> Result<Self> {
        let values = args.iter().map(|arg| arg.evaluate(&batch)).collect::<Result<Vec<_>>>()?;
        let constant = values.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { batch.num_rows() };
        let arrays = values.into_iter().map(|value| value.into_array(rows)).collect::<Result<_>>()?;
        let args = if constant { Args::Constant(arrays) } else { Args::Rows(arrays) };
        Ok(Self { batch, args, next_row: 0, memory: None })
    }

    /// Reserves memory for the batch, unless it has it. The error is the pool's.
    pub(super) fn reserve(&mut self, pool: &MemoryReservation) -> Result<()> {
        if self.memory.is_none() {
            let memory = pool.new_empty();
            memory.try_grow(batch_bytes(&self.batch))?;
            self.memory = Some(Arc::new(memory));
        }
        Ok(())
    }

    /// The next rows, `max` at most; `None` if all were taken.
    pub(super) fn next_slice(&mut self, max: usize) -> Option<Slice> {
        let rows = max.min(self.batch.num_rows() - self.next_row);
        if rows == 0 {
            return None;
        }
        let start = self.next_row;
        self.next_row += rows;
        let args = match &self.args {
            Args::Rows(arrays) => SliceArgs::Rows(arrays.iter().map(|array| array.slice(start, rows)).collect()),
            Args::Constant(arrays) => SliceArgs::Constant(arrays.clone()),
        };
        Some(Slice { rows: self.batch.slice(start, rows), args, memory: self.memory.clone() })
    }

    /// Whether every row was taken.
    pub(super) fn is_done(&self) -> bool {
        self.next_row == self.batch.num_rows()
    }
}
