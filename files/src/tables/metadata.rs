//! Parquet's metadata without what it does not know.
//!
//! The least and the greatest value of a column of floating-point numbers leave NaN out, which is greater than all numbers
//! where rows are compared: a row group whose greatest value is 1.0 may have rows with `x > 1`, and one whose least and
//! greatest value are equal may have different ones. So these bounds are taken out wherever metadata is read.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, CachedParquetMetaData};
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::basic::{LogicalType, Type};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataBuilder};
use datafusion::parquet::file::page_index::column_index::ColumnIndexMetaData;
use datafusion::parquet::file::statistics::{Statistics as ChunkStatistics, ValueStatistics};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use object_store::{ObjectMeta, ObjectStore};

/// The metadata of a file, from the cache if it is there.
pub(super) async fn fetch_metadata(
    store: &dyn ObjectStore,
    file: &ObjectMeta,
    cache: &Arc<FileMetadataCache>,
) -> Result<Arc<ParquetMetaData>> {
    let fetched = DFParquetMetadata::new(store, file).with_file_metadata_cache(Some(Arc::clone(cache)));
    let metadata = fetched.fetch_metadata().await?;
    if !metadata.row_groups().iter().flat_map(|group| group.columns()).any(has_bounds_of_floats) {
        return Ok(metadata);
    }
    let metadata = Arc::new(without_bounds_of_floats(metadata.as_ref().clone()));
    let cached = Arc::new(CachedParquetMetaData::new(Arc::clone(&metadata)));
    cache.put(&file.location, CachedFileMetadataEntry::new(file.clone(), cached));
    Ok(metadata)
}

/// What a file's metadata tells of the columns of a table.
pub(super) fn statistics(metadata: &ParquetMetaData, schema: &SchemaRef) -> Result<Statistics> {
    let mut statistics = DFParquetMetadata::statistics_from_parquet_metadata(metadata, schema)?;
    for (column, field) in statistics.column_statistics.iter_mut().zip(schema.fields()) {
        if field.data_type().is_floating() {
            (column.min_value, column.max_value, column.sum_value) = Default::default();
        }
        // A bound that is NULL is not known.
        let is_known = |bound: &Precision<_>| {
            bound.get_value().is_none_or(|value: &datafusion::scalar::ScalarValue| !value.is_null())
        };
        if !is_known(&column.min_value) || !is_known(&column.max_value) {
            (column.min_value, column.max_value) = Default::default();
        }
    }
    Ok(statistics)
}

fn is_float(chunk: &ColumnChunkMetaData) -> bool {
    let column = chunk.column_descr();
    matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE)
        || matches!(column.logical_type_ref(), Some(LogicalType::Float16))
}

fn has_bounds_of_floats(chunk: &ColumnChunkMetaData) -> bool {
    is_float(chunk) && chunk.statistics().is_some_and(|s| s.min_bytes_opt().is_some() || s.max_bytes_opt().is_some())
}

fn without_bounds_of_floats(metadata: ParquetMetaData) -> ParquetMetaData {
    let mut builder: ParquetMetaDataBuilder = metadata.into_builder();
    let groups = builder.take_row_groups();
    let index = builder.take_column_index().map(|mut index| {
        for (group, columns) in groups.iter().zip(&mut index) {
            let chunks = group.columns().iter().zip(columns).filter(|(chunk, _)| is_float(chunk));
            chunks.for_each(|(_, column)| *column = ColumnIndexMetaData::NONE);
        }
        index
    });
    let groups = groups.into_iter().map(|group| {
        let mut builder = group.into_builder();
        let chunks = builder.take_columns().into_iter().map(|chunk| {
            if !has_bounds_of_floats(&chunk) {
                return Ok(chunk);
            }
            let known = chunk.statistics().map(without_bounds);
            let builder = chunk.into_builder().clear_statistics();
            known.into_iter().fold(builder, |builder, known| builder.set_statistics(known)).build()
        });
        builder.set_column_metadata(chunks.collect::<Result<_, ParquetError>>()?).build()
    });
    let groups: Result<Vec<_>, ParquetError> = groups.collect();
    // What was built of a file's own parts can be built.
    builder.set_row_groups(groups.unwrap_or_default()).set_column_index(index).build()
}

/// How many values are NULL remains known.
fn without_bounds(known: &ChunkStatistics) -> ChunkStatistics {
    let (distinct, nulls) = (known.distinct_count_opt(), known.null_count_opt());
    match known {
        ChunkStatistics::Float(_) => ChunkStatistics::Float(ValueStatistics::new(None, None, distinct, nulls, false)),
        ChunkStatistics::Double(_) => ChunkStatistics::Double(ValueStatistics::new(None, None, distinct, nulls, false)),
        _ => ChunkStatistics::FixedLenByteArray(ValueStatistics::new(None, None, distinct, nulls, false)),
    }
}

/// Readers for DataFusion's own scans, with metadata as [`fetch_metadata`] has it.
#[derive(Debug)]
pub(super) struct Readers {
    bytes: CachedParquetFileReaderFactory,
    store: Arc<dyn ObjectStore>,
    cache: Arc<FileMetadataCache>,
}

impl Readers {
    pub(super) fn new(store: Arc<dyn ObjectStore>, cache: Arc<FileMetadataCache>) -> Self {
        Self { bytes: CachedParquetFileReaderFactory::new(Arc::clone(&store), Arc::clone(&cache)), store, cache }
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let meta = file.object_meta.clone();
        let bytes = self.bytes.create_reader(partition, file, metadata_size_hint, metrics)?;
        Ok(Box::new(Reader { bytes, file: meta, store: Arc::clone(&self.store), cache: Arc::clone(&self.cache) }))
    }
}

struct Reader {
    bytes: Box<dyn AsyncFileReader + Send>,
    file: ObjectMeta,
    store: Arc<dyn ObjectStore>,
    cache: Arc<FileMetadataCache>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("file", &self.file.location).finish_non_exhaustive()
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.bytes.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.bytes.get_byte_ranges(ranges)
    }

    /// With the index of pages, whatever is asked for: who would read it later would read it as it is in the file.
    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        Box::pin(async {
            let fetched = fetch_metadata(self.store.as_ref(), &self.file, &self.cache).await;
            fetched.map_err(|e| ParquetError::External(Box::new(e)))
        })
    }
}
