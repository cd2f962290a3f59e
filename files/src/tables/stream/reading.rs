//! Reading the chosen rows and columns of one file, row group by row group.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::common::cast::as_boolean_array;
use datafusion::datasource::physical_plan::parquet::ParquetFileMetrics;
use datafusion::error::Result;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_expr::projection::Projector;
use datafusion::physical_plan::PhysicalExpr;
use tokio::sync::mpsc;

use super::block::Object;
use super::columns::{Columns, StreamedRowGroup, with_field};
use super::filter::RowFilter;
use super::selection::Selected;
use super::texts::{Place, Texts, with_texts};

/// Batches of columns that are read for a predicate hold about this many bytes ...
const FILTER_BATCH_BYTES: u64 = 4 << 20;
/// ... and no more rows than this.
const FILTER_BATCH_ROWS: u64 = 8192;

/// What is left to do for a file, on a thread of its own.
pub(super) struct Reading {
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) object: Object,
    /// The rows to read, by number and in order; all if it is `None`.
    pub(super) rows: Option<Arc<[u64]>>,
    pub(super) filter: RowFilter,
    pub(super) columns: Columns,
    pub(super) projector: Projector,
    pub(super) row_groups: Vec<usize>,
    pub(super) batch_size: usize,
    pub(super) texts: Texts,
    pub(super) metrics: ParquetFileMetrics,
}

impl Reading {
    /// Sends the batches until nobody listens.
    pub(super) fn run(&self, sender: &mpsc::Sender<Result<RecordBatch>>) -> Result<()> {
        let mut first_row = 0;
        for (index, group) in self.metadata.row_groups().iter().enumerate() {
            let rows = group.num_rows().max(0) as u64;
            if self.row_groups.contains(&index) && !self.read_group(index, first_row..first_row + rows, sender)? {
                return Ok(());
            }
            first_row += rows;
        }
        Ok(())
    }

    /// Whether somebody still listens.
    fn read_group(&self, index: usize, rows: Range<u64>, sender: &mpsc::Sender<Result<RecordBatch>>) -> Result<bool> {
        let selected = self.select(index, &rows)?;
        if selected.as_ref().is_some_and(|selected| selected.count() == 0) {
            return Ok(true);
        }
        for batch in self.batches(&self.columns, index, &rows, selected.as_ref(), self.batch_size)? {
            let mut batch = batch?;
            if let Some(predicate) = &self.filter.late {
                let before = batch.num_rows();
                batch = filter_record_batch(&batch, as_boolean_array(&evaluate(predicate, &batch)?)?)?;
                self.metrics.pushdown_rows_pruned.add(before - batch.num_rows());
                if batch.num_rows() == 0 {
                    continue;
                }
            }
            let batch = self.projector.project_batch(&batch)?;
            if sender.blocking_send(Ok(batch)).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rows of a row group that the predicates keep; `None` if all are read.
    fn select(&self, index: usize, rows: &Range<u64>) -> Result<Option<Selected>> {
        let count = (rows.end - rows.start) as usize;
        let mut selected = self.rows.as_ref().map(|numbers| {
            let (from, to) = (numbers.partition_point(|n| *n < rows.start), numbers.partition_point(|n| *n < rows.end));
            Selected::numbers(numbers[from..to].iter().map(|number| (number - rows.start) as usize), count)
        });
        for stage in &self.filter.stages {
            let before = selected.as_ref().map_or(count, Selected::count);
            if before == 0 {
                break;
            }
            let bytes = stage.columns.bytes(&self.metadata, index);
            let batch_rows = FILTER_BATCH_BYTES.saturating_mul(count as u64) / bytes.max(1);
            let batch_rows = batch_rows.clamp(1, FILTER_BATCH_ROWS) as usize;
            let mut filters = vec![];
            for batch in self.batches(&stage.columns, index, rows, selected.as_ref(), batch_rows)? {
                let batch = batch?;
                let timer = self.metrics.row_pushdown_eval_time.timer();
                filters.push(as_boolean_array(&evaluate(&stage.predicate, &batch)?)?.clone());
                timer.done();
            }
            let kept = Selected::of_filters(&filters, selected.as_ref(), count);
            self.metrics.pushdown_rows_pruned.add(before - kept.count());
            selected = Some(kept);
        }
        if let (Some(selected), false) = (&selected, self.filter.stages.is_empty()) {
            self.metrics.pushdown_rows_matched.add(selected.count());
        }
        Ok(selected)
    }

    /// The selected rows of some columns, with their numbers if these belong to the columns.
    fn batches<'a>(
        &'a self,
        columns: &'a Columns,
        index: usize,
        rows: &Range<u64>,
        selected: Option<&'a Selected>,
        batch_size: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + 'a> {
        let group = StreamedRowGroup { metadata: &self.metadata, object: &self.object, index, selected };
        let selection = selected.map(Selected::to_row_selection);
        let reader = ParquetRecordBatchReader::try_new_with_row_groups(&columns.levels, &group, batch_size, selection)?;
        let first_row = rows.start;
        let mut numbers: Box<dyn Iterator<Item = u64> + 'a> = match selected {
            Some(selected) => Box::new(selected.iter().map(move |row| first_row + row as u64)),
            None => Box::new(rows.clone()),
        };
        let mut done = 0;
        Ok(reader.map(move |batch| {
            let batch = batch?;
            let row = |row: usize| match selected {
                Some(selected) => first_row + selected.iter().nth(done + row).unwrap_or_default() as u64,
                None => first_row + (done + row) as u64,
            };
            let place = Place { file: self.object.path.as_ref(), row };
            let batch = with_texts(&batch, columns.schema(), &self.texts, &place)?;
            done += batch.num_rows();
            let Some(field) = &columns.number else { return Ok(batch) };
            let numbers: UInt64Array = numbers.by_ref().take(batch.num_rows()).collect();
            let schema = with_field(&batch.schema(), field.clone());
            let arrays = batch.columns().iter().cloned().chain([Arc::new(numbers) as ArrayRef]).collect();
            Ok(RecordBatch::try_new(Arc::new(schema), arrays)?)
        }))
    }
}

fn evaluate(predicate: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    predicate.evaluate(batch)?.into_array(batch.num_rows())
}
