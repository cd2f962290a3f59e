//! A record batch on its way through the model: cut into slices, its memory held until the last one is done.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::prep_null_mask_filter;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::Column;

use super::size::batch_bytes;
use crate::marked::{marks, without_marks};
use crate::model_call::ModelCall;

/// Which argument of a call is the text.
const TEXT: usize = 1;

/// A batch that was read and of which some rows are not submitted yet.
#[derive(Debug)]
pub(super) struct ReadBatch {
    /// The columns as they pass through.
    rows: RecordBatch,
    bytes: usize,
    args: Args,
    /// Rows whose text is none, and why.
    refused: Vec<(usize, Arc<str>)>,
    next_row: usize,
    memory: Option<Arc<MemoryReservation>>,
}

/// The arguments' values for a batch.
#[derive(Debug)]
enum Args {
    /// An array of the batch's length each, and which rows are to be scored if not all.
    Rows { args: Vec<ArrayRef>, selection: Option<BooleanArray> },
    /// Each a single value for all rows: one row to score.
    Constant(Vec<ArrayRef>),
}

/// Rows to score.
pub(super) struct Slice {
    pub(super) rows: RecordBatch,
    pub(super) bytes: usize,
    pub(super) args: SliceArgs,
    /// Rows that cannot be scored whatever the model says, and why.
    pub(super) refused: Vec<(usize, Arc<str>)>,
    /// Held until the rows are emitted.
    pub(super) memory: Option<Arc<MemoryReservation>>,
}

/// The arguments' values for a slice.
pub(super) enum SliceArgs {
    /// An array of the slice's length each, and which rows are to be scored if not all.
    Rows { args: Vec<ArrayRef>, selection: Option<BooleanArray> },
    /// Arrays of one row that stands for all.
    Constant(Vec<ArrayRef>),
}

impl ReadBatch {
    /// Evaluates the arguments of `call`, for the rows for which `when` is true. The columns `emptied` become NULL, so that
    /// what they hold goes when the model no longer wants it.
    pub(super) fn try_new(
        batch: &RecordBatch,
        call: &ModelCall<PhysicalExprRef>,
        when: Option<&PhysicalExprRef>,
        emptied: &[usize],
    ) -> Result<Self> {
        let selection = when.map(|when| selected(when, batch)).transpose()?;
        let selection = selection.filter(|selection| selection.true_count() < selection.len());
        let values = call.args.iter().map(|arg| match &selection {
            // A row that is not selected must not be evaluated: it might fail. A column is just there.
            Some(selection) if !arg.is::<Column>() => arg.evaluate_selection(batch, selection),
            _ => arg.evaluate(batch),
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        let constant = selection.is_none() && values.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { batch.num_rows() };
        let mut args = values.into_iter().map(|value| value.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let mut passing = without_values(batch, emptied)?;
        let mut refused = if constant { vec![] } else { args.get(TEXT).map(marks).unwrap_or_default() };
        if !refused.is_empty() {
            args[TEXT] = without_marks(&args[TEXT], &refused)?;
            passing = with_plain_text(passing, call, &refused)?;
            refused.retain(|(row, _)| selection.as_ref().is_none_or(|selection| selection.value(*row)));
        }
        let args = if constant { Args::Constant(args) } else { Args::Rows { args, selection } };
        Ok(Self { rows: passing, bytes: batch_bytes(batch), args, refused, next_row: 0, memory: None })
    }

    /// Reserves memory for the batch, unless it has it. The error is the pool's.
    pub(super) fn reserve(&mut self, pool: &MemoryReservation) -> Result<()> {
        if self.memory.is_none() {
            let memory = pool.new_empty();
            memory.try_grow(self.bytes)?;
            self.memory = Some(Arc::new(memory));
        }
        Ok(())
    }

    /// The next rows, `max` at most; `None` if all were taken.
    pub(super) fn next_slice(&mut self, max: usize) -> Option<Slice> {
        let rows = max.min(self.rows.num_rows() - self.next_row);
        if rows == 0 {
            return None;
        }
        let start = self.next_row;
        self.next_row += rows;
        let args = match &self.args {
            Args::Rows { args, selection } => SliceArgs::Rows {
                args: args.iter().map(|array| array.slice(start, rows)).collect(),
                selection: selection.as_ref().map(|selection| selection.slice(start, rows)),
            },
            Args::Constant(arrays) => SliceArgs::Constant(arrays.clone()),
        };
        // Rows of a batch differ in size; their sum is right, and that is what bounds the reading.
        let bytes = self.bytes * rows / self.rows.num_rows();
        let refused = self.refused.iter().filter(|(row, _)| (start..start + rows).contains(row));
        let refused = refused.map(|(row, reason)| (row - start, Arc::clone(reason))).collect();
        Some(Slice { rows: self.rows.slice(start, rows), bytes, args, refused, memory: self.memory.clone() })
    }

    /// Whether every row was taken.
    pub(super) fn is_done(&self) -> bool {
        self.next_row == self.rows.num_rows()
    }
}

/// The rows with NULL where the call's text is none.
fn with_plain_text(
    rows: RecordBatch,
    call: &ModelCall<PhysicalExprRef>,
    refused: &[(usize, Arc<str>)],
) -> Result<RecordBatch> {
    let Some(column) = call.args.get(TEXT).and_then(|text| text.downcast_ref::<Column>()) else { return Ok(rows) };
    let mut columns = rows.columns().to_vec();
    columns[column.index()] = without_marks(&columns[column.index()], refused)?;
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

fn without_values(batch: &RecordBatch, emptied: &[usize]) -> Result<RecordBatch> {
    if emptied.is_empty() {
        return Ok(batch.clone());
    }
    let mut columns = batch.columns().to_vec();
    for &index in emptied {
        columns[index] = new_null_array(columns[index].data_type(), batch.num_rows());
    }
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

fn selected(when: &PhysicalExprRef, batch: &RecordBatch) -> Result<BooleanArray> {
    let selection = when.evaluate(batch)?.into_array(batch.num_rows())?;
    let selection = as_boolean_array(&selection)?;
    Ok(if selection.null_count() > 0 { prep_null_mask_filter(selection) } else { selection.clone() })
}
