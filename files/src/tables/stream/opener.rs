//! Opening one Parquet file as a stream of batches.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{ScalarValue, exec_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    ParquetAccessPlan, ParquetFileMetrics, RowGroupAccessPlanFilter, apply_file_schema_type_coercions,
};
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_expr_adapter::{PhysicalExprAdapterFactory, replace_columns_with_literals};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::block::{Object, Sizes};
use super::columns::{Columns, row_number_field, with_field};
use super::filter::RowFilter;
use super::reading::Reading;
use super::texts::Texts;
use crate::tables::metadata::fetch_metadata;
use crate::tables::opened::received;

/// An extension of a file of a scan: the rows of it that are read, by number; without it all are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tables) struct RowRange(pub(in crate::tables) Range<u64>);

/// Opens files for one partition of a scan.
#[derive(Clone)]
pub(in crate::tables) struct StreamOpener {
    pub(in crate::tables) store: Arc<dyn ObjectStore>,
    pub(in crate::tables) metadata_cache: Arc<FileMetadataCache>,
    pub(in crate::tables) adapters: Arc<dyn PhysicalExprAdapterFactory>,
    pub(in crate::tables) table_schema: TableSchema,
    pub(in crate::tables) projection: ProjectionExprs,
    pub(in crate::tables) predicate: Option<Arc<dyn PhysicalExpr>>,
    /// Whether the predicate is applied to rows; else it only chooses row groups.
    pub(in crate::tables) filters_rows: bool,
    /// The name of the column of row numbers, the last of the file schema, if there is one.
    pub(in crate::tables) row_number: Option<String>,
    /// The rows to read, by number and in order; all if it is `None`.
    pub(in crate::tables) rows: Option<Arc<[u64]>>,
    pub(in crate::tables) sizes: Sizes,
    pub(in crate::tables) batch_size: usize,
    pub(in crate::tables) texts: Texts,
    pub(in crate::tables) partition: usize,
    pub(in crate::tables) metrics: ExecutionPlanMetricsSet,
    /// Where the bytes that are read are counted, if not among the metrics.
    pub(in crate::tables) scanned: Option<Count>,
}

impl FileOpener for StreamOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let opener = self.clone();
        Ok(Box::pin(async move { opener.start(file).await }))
    }
}

impl StreamOpener {
    async fn start(self, file: PartitionedFile) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let metadata = fetch_metadata(self.store.as_ref(), &file.object_meta, &self.metadata_cache).await?;
        let metrics = ParquetFileMetrics::new(self.partition, file.object_meta.location.as_ref(), &self.metrics);
        let object = Object {
            store: Arc::clone(&self.store),
            path: file.object_meta.location.clone(),
            runtime: Handle::current(),
            sizes: self.sizes,
            scanned: self.scanned.clone().unwrap_or_else(|| metrics.bytes_scanned.clone()),
        };
        self.check_rows(&file, &metadata)?;
        let reading = self.plan(&file, metadata, object, metrics)?;
        // One batch waits while the next is decoded.
        let (sender, receiver) = mpsc::channel(1);
        let decoder = tokio::task::spawn_blocking(move || {
            if let Err(error) = reading.run(&sender) {
                // Nobody listens any more if this fails.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Ok(received(receiver, decoder).boxed())
    }

    /// Rows that are asked for by number must be there.
    fn check_rows(&self, file: &PartitionedFile, metadata: &ParquetMetaData) -> Result<()> {
        let rows = metadata.file_metadata().num_rows().max(0) as u64;
        match self.rows.as_ref().and_then(|numbers| numbers.last()) {
            Some(last) if *last >= rows => exec_err!(
                "reading row {last} of {}: the file has {rows} rows now, so it was changed while the query ran; \
                 run the query again",
                file.object_meta.location
            ),
            _ => Ok(()),
        }
    }

    /// Adapts the projection and the predicate to the file's own schema and chooses the row groups.
    fn plan(
        &self,
        file: &PartitionedFile,
        metadata: Arc<ParquetMetaData>,
        object: Object,
        metrics: ParquetFileMetrics,
    ) -> Result<Reading> {
        let description = metadata.file_metadata().schema_descr();
        let file_schema = parquet_to_arrow_schema(description, metadata.file_metadata().key_value_metadata())?;
        let table_file_schema = self.table_schema.file_schema();
        let file_schema =
            Arc::new(apply_file_schema_type_coercions(table_file_schema, &file_schema).unwrap_or(file_schema));
        // The row's number stands behind the file's columns, as if the file had it.
        let schema = match &self.row_number {
            Some(name) => Arc::new(with_field(&file_schema, row_number_field(name))),
            None => Arc::clone(&file_schema),
        };

        let partition_values: HashMap<String, ScalarValue> = self
            .table_schema
            .table_partition_cols()
            .iter()
            .zip(&file.partition_values)
            .map(|(field, value)| (field.name().clone(), value.clone()))
            .collect();
        let adapter = self.adapters.create(Arc::clone(table_file_schema), Arc::clone(&schema))?;
        let adapt = |expr| adapter.rewrite(replace_columns_with_literals(expr, &partition_values)?);
        let projection = self.projection.clone().try_map_exprs(adapt)?;
        let predicate = self.predicate.clone().map(adapt).transpose()?;

        let places = projection.column_indices();
        let columns = Columns::new(&metadata, &schema, &places)?;
        let projection = projection.try_map_exprs(|expr| reassign_expr_columns(expr, columns.schema()))?;
        let output = self.projection.project_schema(self.table_schema.table_schema())?;
        let projector = projection.make_projector_with_schema_metadata(columns.schema(), &output)?;

        let groups = metadata.row_groups();
        let mut chosen = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(groups.len()));
        if let Some(range) = &file.range {
            chosen.prune_by_range(groups, range);
        }
        if let Some(predicate) = predicate.clone().and_then(|p| pruning(p, &schema)) {
            chosen.prune_by_statistics(&schema, description, groups, &predicate, &metrics);
        }
        let row_groups = chosen.build().row_group_indexes();
        let filter = match predicate.filter(|_| self.filters_rows) {
            Some(p) => RowFilter::new(&p, &metadata, &schema, &places, columns.schema(), self.sizes.block)?,
            None => RowFilter::default(),
        };
        let range = file.extensions.get::<RowRange>().map(|RowRange(rows)| rows.clone().collect());
        let (rows, batch_size, texts) = (self.rows.clone().or(range), self.batch_size, self.texts.clone());
        Ok(Reading { metadata, object, rows, filter, columns, projector, row_groups, batch_size, texts, metrics })
    }
}

fn pruning(predicate: Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Option<Arc<PruningPredicate>> {
    PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).build(predicate)
}
