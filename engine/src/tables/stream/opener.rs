//! Opening one Parquet file as a stream of batches.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{
    ParquetAccessPlan, ParquetFileMetrics, RowGroupAccessPlanFilter, apply_file_schema_type_coercions,
};
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use datafusion::parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels, parquet_to_arrow_schema};
use datafusion::parquet::column::page::PageIterator;
use datafusion::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use datafusion::physical_expr::projection::{ProjectionExprs, Projector};
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_expr_adapter::{PhysicalExprAdapterFactory, replace_columns_with_literals};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::ObjectStore;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::block::{Cut, Object};
use super::pages::{ChunkPages, OneChunk};

/// Opens files for one partition of a scan.
#[derive(Clone)]
pub(super) struct StreamOpener {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) metadata_cache: Arc<FileMetadataCache>,
    pub(super) adapters: Arc<dyn PhysicalExprAdapterFactory>,
    pub(super) table_schema: TableSchema,
    pub(super) projection: ProjectionExprs,
    pub(super) predicate: Option<Arc<dyn PhysicalExpr>>,
    pub(super) batch_size: usize,
    pub(super) partition: usize,
    pub(super) metrics: ExecutionPlanMetricsSet,
}

impl FileOpener for StreamOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let opener = self.clone();
        Ok(Box::pin(async move { opener.start(file).await }))
    }
}

impl StreamOpener {
    async fn start(self, file: PartitionedFile) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let metadata = DFParquetMetadata::new(self.store.as_ref(), &file.object_meta)
            .with_file_metadata_cache(Some(Arc::clone(&self.metadata_cache)))
            .fetch_metadata()
            .await?;
        let object = Object {
            store: Arc::clone(&self.store),
            path: file.object_meta.location.clone(),
            runtime: Handle::current(),
            cut: Cut::default(),
        };
        let reading = self.plan(&file, metadata, object)?;
        // One batch waits while the next is decoded.
        let (sender, receiver) = mpsc::channel(1);
        let decoder = tokio::task::spawn_blocking(move || {
            if let Err(error) = reading.run(&sender) {
                // Nobody listens any more if this fails.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Ok(batches(receiver, decoder).boxed())
    }

    /// Adapts the projection to the file's own schema and chooses the row groups.
    fn plan(&self, file: &PartitionedFile, metadata: Arc<ParquetMetaData>, object: Object) -> Result<Reading> {
        let description = metadata.file_metadata().schema_descr();
        let file_schema = parquet_to_arrow_schema(description, metadata.file_metadata().key_value_metadata())?;
        let table_file_schema = self.table_schema.file_schema();
        let file_schema =
            Arc::new(apply_file_schema_type_coercions(table_file_schema, &file_schema).unwrap_or(file_schema));

        let partition_values: HashMap<String, ScalarValue> = self
            .table_schema
            .table_partition_cols()
            .iter()
            .zip(&file.partition_values)
            .map(|(field, value)| (field.name().clone(), value.clone()))
            .collect();
        let adapter = self.adapters.create(Arc::clone(table_file_schema), Arc::clone(&file_schema))?;
        let adapt = |expr| adapter.rewrite(replace_columns_with_literals(expr, &partition_values)?);
        let projection = self.projection.clone().try_map_exprs(adapt)?;
        let predicate = self.predicate.clone().map(adapt).transpose()?;

        let mask = ProjectionMask::roots(description, projection.column_indices());
        let levels = parquet_to_arrow_field_levels(description, mask.clone(), Some(file_schema.fields()))?;
        let roots = projection.column_indices();
        let stream_schema = file_schema.project(&roots)?;
        let projection = projection.try_map_exprs(|expr| reassign_expr_columns(expr, &stream_schema))?;
        let output = self.projection.project_schema(self.table_schema.table_schema())?;
        let projector = projection.make_projector_with_schema_metadata(&stream_schema, &output)?;

        let metrics = ParquetFileMetrics::new(self.partition, file.object_meta.location.as_ref(), &self.metrics);
        let groups = metadata.row_groups();
        let mut chosen = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(groups.len()));
        if let Some(range) = &file.range {
            chosen.prune_by_range(groups, range);
        }
        if let Some(predicate) = predicate.and_then(|p| pruning(p, &file_schema)) {
            chosen.prune_by_statistics(&file_schema, description, groups, &predicate, &metrics);
        }
        let row_groups = chosen.build().row_group_indexes();
        Ok(Reading { metadata, object, levels, mask, projector, row_groups, batch_size: self.batch_size, metrics })
    }
}

fn pruning(predicate: Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Option<Arc<PruningPredicate>> {
    PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).build(predicate)
}

/// What is left to do for a file, on a thread of its own.
struct Reading {
    metadata: Arc<ParquetMetaData>,
    object: Object,
    levels: FieldLevels,
    mask: ProjectionMask,
    projector: Projector,
    row_groups: Vec<usize>,
    batch_size: usize,
    metrics: ParquetFileMetrics,
}

impl Reading {
    fn run(&self, sender: &mpsc::Sender<Result<RecordBatch>>) -> Result<()> {
        for &index in &self.row_groups {
            let group = StreamedRowGroup { metadata: &self.metadata, object: &self.object, index };
            let chunks = self.metadata.row_group(index).columns().iter().enumerate();
            let bytes: u64 =
                chunks.filter(|(leaf, _)| self.mask.leaf_included(*leaf)).map(|(_, chunk)| chunk.byte_range().1).sum();
            self.metrics.bytes_scanned.add(bytes as usize);
            let reader =
                ParquetRecordBatchReader::try_new_with_row_groups(&self.levels, &group, self.batch_size, None)?;
            for batch in reader {
                let batch = self.projector.project_batch(&batch?)?;
                if sender.blocking_send(Ok(batch)).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// One row group whose chunks are read as streams.
struct StreamedRowGroup<'a> {
    metadata: &'a ParquetMetaData,
    object: &'a Object,
    index: usize,
}

impl RowGroups for StreamedRowGroup<'_> {
    fn num_rows(&self) -> usize {
        self.metadata.row_group(self.index).num_rows().max(0) as usize
    }

    fn column_chunks(&self, leaf: usize) -> datafusion::parquet::errors::Result<Box<dyn PageIterator>> {
        let chunk = self.metadata.row_group(self.index).column(leaf);
        Ok(Box::new(OneChunk::new(ChunkPages::new(self.object, chunk))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.index)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

/// Reads all columns of one row group as the opener does.
#[cfg(test)]
pub(super) fn read_row_group(
    metadata: &ParquetMetaData,
    object: &Object,
    index: usize,
    batch_size: usize,
) -> datafusion::parquet::errors::Result<ParquetRecordBatchReader> {
    let description = metadata.file_metadata().schema_descr();
    let levels = parquet_to_arrow_field_levels(description, ProjectionMask::all(), None)?;
    let group = StreamedRowGroup { metadata, object, index };
    ParquetRecordBatchReader::try_new_with_row_groups(&levels, &group, batch_size, None)
}

/// The batches that the decoding thread sends. If it panics, the stream ends with an error, not early.
fn batches(
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    decoder: JoinHandle<()>,
) -> impl futures::Stream<Item = Result<RecordBatch>> {
    stream::unfold((receiver, Some(decoder)), |(mut receiver, mut decoder)| async move {
        if let Some(batch) = receiver.recv().await {
            return Some((batch, (receiver, decoder)));
        }
        match decoder.take()?.await {
            Ok(()) => None,
            Err(panic) => Some((Err(DataFusionError::ExecutionJoin(Box::new(panic))), (receiver, None))),
        }
    })
}
