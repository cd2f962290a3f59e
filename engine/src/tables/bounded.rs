//! A listing table whose scans are bounded by bytes, not by rows.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use super::stream::{StreamedParquet, can_stream};

/// A batch holds about this many bytes.
const BATCH_BYTES: u64 = 16 << 20;

/// Row groups that are larger, in the columns that are read, are streamed.
const LARGE_ROW_GROUP: u64 = 64 << 20;

/// Large row groups that cannot be streamed are read side by side up to this sum.
const ROW_GROUP_BUDGET: u64 = 1 << 30;

/// So many of a table's files are looked at.
const FILES_LOOKED_AT: usize = 256;

/// Metadata of so many files is fetched at once.
const CONCURRENT_FETCHES: usize = 32;

/// Wraps DataFusion's table of files and adjusts its Parquet scans to the size of the rows.
#[derive(Debug)]
pub(super) struct BoundedTable {
    inner: ListingTable,
}

impl BoundedTable {
    pub(super) fn new(inner: ListingTable) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl TableProvider for BoundedTable {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.inner.scan(state, projection, filters, limit).await?;
        match plan.downcast_ref::<DataSourceExec>().and_then(DataSourceExec::downcast_to_file_source::<ParquetSource>) {
            Some((config, _)) => bounded(state, config).await,
            None => Ok(plan),
        }
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }

    async fn insert_into(
        &self,
        state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        operation: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.inner.insert_into(state, input, operation).await
    }
}

async fn bounded(state: &dyn Session, config: &FileScanConfig) -> Result<Arc<dyn ExecutionPlan>> {
    let weight = weigh(state, config).await?;
    let most = state.config().batch_size();
    let batch_size = weight.batch_size(most);
    let mut builder = FileScanConfigBuilder::from(config.clone());
    if batch_size < most {
        builder = builder.with_batch_size(Some(batch_size));
    }
    if weight.row_group > LARGE_ROW_GROUP {
        if weight.can_stream {
            let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
            let source = StreamedParquet::new(Arc::clone(config.file_source()), cache, batch_size);
            builder = builder.with_source(Arc::new(source));
        } else {
            let partitions = (ROW_GROUP_BUDGET / weight.row_group).max(1) as usize;
            if partitions < state.config().target_partitions() {
                // A declared partitioning keeps the optimizer from splitting the files further.
                let files = config.file_groups.iter().flat_map(|group| group.iter().cloned()).collect::<Vec<_>>();
                let groups = FileGroup::new(files).split_files(partitions);
                let partitioning = Partitioning::UnknownPartitioning(groups.len());
                builder = builder.with_file_groups(groups).with_output_partitioning(Some(partitioning));
            }
        }
    }
    Ok(DataSourceExec::from_data_source(builder.build()))
}

/// What the columns that a scan reads weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weight {
    /// Bytes of the largest row group.
    row_group: u64,
    /// Bytes of a row, on average over the row group whose rows are the heaviest.
    row: u64,
    /// Whether all pages can be decompressed as a stream.
    can_stream: bool,
}

impl Weight {
    const NONE: Self = Self { row_group: 0, row: 0, can_stream: true };

    fn max(self, other: Self) -> Self {
        Self {
            row_group: self.row_group.max(other.row_group),
            row: self.row.max(other.row),
            can_stream: self.can_stream && other.can_stream,
        }
    }

    fn batch_size(&self, most: usize) -> usize {
        let rows = BATCH_BYTES / self.row.max(1);
        usize::try_from(rows).unwrap_or(usize::MAX).clamp(1, most)
    }
}

/// Weighs the files of a scan by their metadata, which planning has fetched and cached. Of very many files some are taken.
async fn weigh(state: &dyn Session, config: &FileScanConfig) -> Result<Weight> {
    let store = state.runtime_env().object_store(&config.object_store_url)?;
    let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
    let columns = columns_read(config.file_source().as_ref());
    let files: Vec<ObjectMeta> =
        config.file_groups.iter().flat_map(FileGroup::iter).map(|f| f.object_meta.clone()).collect();
    let step = files.len().div_ceil(FILES_LOOKED_AT).max(1);
    stream::iter(files.into_iter().step_by(step))
        .map(|file| {
            let (store, cache) = (Arc::clone(&store), Arc::clone(&cache));
            async move {
                DFParquetMetadata::new(store.as_ref(), &file)
                    .with_file_metadata_cache(Some(cache))
                    .fetch_metadata()
                    .await
            }
        })
        .buffer_unordered(CONCURRENT_FETCHES)
        .try_fold(Weight::NONE, |weight, metadata| {
            let file = weigh_file(&metadata, &columns);
            async move { Ok(weight.max(file)) }
        })
        .await
}

/// The names of the columns that the source reads.
fn columns_read(source: &dyn FileSource) -> Vec<String> {
    let schema = source.table_schema().table_schema();
    let indices = source.projection().map_or_else(|| (0..schema.fields().len()).collect(), |p| p.column_indices());
    indices.into_iter().filter_map(|index| Some(schema.fields().get(index)?.name().clone())).collect()
}

fn weigh_file(metadata: &ParquetMetaData, columns: &[String]) -> Weight {
    metadata.row_groups().iter().fold(Weight::NONE, |weight, group| {
        let chunks = group.columns().iter().filter(|chunk| {
            chunk.column_path().parts().first().is_some_and(|root| columns.iter().any(|column| column == root))
        });
        let (bytes, can_stream) = chunks.fold((0, true), |(bytes, streams), chunk| {
            (bytes + weigh_chunk(chunk), streams && can_stream(chunk.compression()))
        });
        let rows = group.num_rows().max(1) as u64;
        weight.max(Weight { row_group: bytes, row: bytes.div_ceil(rows), can_stream })
    })
}

/// The size of a chunk's values. A dictionary hides repeated values; writers that count the unencoded bytes tell.
fn weigh_chunk(chunk: &ColumnChunkMetaData) -> u64 {
    let encoded = chunk.uncompressed_size().max(chunk.compressed_size());
    let unencoded = chunk.unencoded_byte_array_data_bytes().unwrap_or(0);
    encoded.max(unencoded).max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_sized_by_bytes() {
        let weight = |row| Weight { row, ..Weight::NONE };
        assert_eq!(weight(0).batch_size(8192), 8192);
        assert_eq!(weight(100).batch_size(8192), 8192);
        assert_eq!(weight(1 << 20).batch_size(8192), 16);
        assert_eq!(weight(1 << 30).batch_size(8192), 1);
    }
}
