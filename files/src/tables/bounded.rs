//! A table of files whose scans are bounded by bytes, not by rows.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Constraints, project_schema};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::parquet::basic::{ConvertedType, Type};
use datafusion::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use tamis_udfs::options::{InvalidUtf8, TamisOptions};

use super::guarded::GuardedParquet;
use super::metadata::fetch_metadata;
use super::stream::{Sizes, StreamedParquet, Streaming, Texts, can_stream};
use super::table::FilesTable;

/// What a scan may hold at once, and what follows for how it reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// A batch holds about this many bytes.
    pub(super) batch: u64,
    /// Rows of at least so many bytes, in the columns that are read, are filtered where they are read: columns that no predicate
    /// wants are decoded for the rows that are kept. For lighter ones that costs more than it saves.
    pub(super) least_filtered_row: u64,
    /// Row groups that are larger, in the columns that are read, are streamed.
    pub(super) row_group: u64,
    /// Large row groups that cannot be streamed are read side by side up to this sum.
    pub(super) row_groups: u64,
    /// How a stream is read.
    pub(super) stream: Sizes,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            batch: 16 << 20,
            least_filtered_row: 1 << 10,
            row_group: 64 << 20,
            row_groups: 1 << 30,
            stream: Sizes::default(),
        }
    }
}

/// So many of a table's files are looked at.
const FILES_LOOKED_AT: usize = 256;

/// Metadata of so many files is fetched at once.
const CONCURRENT_FETCHES: usize = 32;

/// A table of files that adjusts its Parquet scans to the size of the rows.
#[derive(Debug, Clone)]
pub(super) struct BoundedTable {
    pub(super) inner: FilesTable,
    pub(super) bounds: Bounds,
}

impl BoundedTable {
    fn bounded_scan<'f>(
        &'f self,
        state: &'f dyn Session,
        projection: Option<&'f Vec<usize>>,
        filters: &'f [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let Some(config) = self.inner.scan(state, projection, filters, limit).await? else {
                let schema = project_schema(&self.inner.schema(), projection)?;
                return Ok(Arc::new(EmptyExec::new(schema)) as Arc<dyn ExecutionPlan>);
            };
            match self.inner.is_parquet() {
                true => bounded(state, &config, &self.bounds, None).await,
                false => Ok(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>),
            }
        })
    }
}

// As `async_trait` has it, but for what its futures hold: nothing that leads to a plan (docs/adr/0012).
impl TableProvider for BoundedTable {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.inner.declared().constraints)
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.inner.declared().definition.as_deref()
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.inner.declared().defaults.get(column)
    }

    fn scan<'a, 'b, 'c, 'd, 'f>(
        &'a self,
        state: &'b dyn Session,
        projection: Option<&'c Vec<usize>>,
        filters: &'d [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
        Self: 'f,
    {
        self.bounded_scan(state, projection, filters, limit)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.inner.chooses_files(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }

    fn insert_into<'a, 'b, 'f>(
        &'a self,
        state: &'b dyn Session,
        input: Arc<dyn ExecutionPlan>,
        operation: InsertOp,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>>
    where
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let format = super::factory::writer(state, &self.inner)?;
            self.inner.insert_into(state, input, operation, format).await
        })
    }
}

/// The scan of `config` within `bounds`. With `row_number`, the name of the file schema's last column, files are read in
/// the one way that knows the rows' numbers.
pub(super) async fn bounded(
    state: &dyn Session,
    config: &FileScanConfig,
    bounds: &Bounds,
    row_number: Option<String>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let weight = weigh(state, config).await?;
    let most = state.config().batch_size();
    let batch_size = weight.batch_size(bounds.batch, most);
    let mut builder = FileScanConfigBuilder::from(config.clone());
    if batch_size < most {
        builder = builder.with_batch_size(Some(batch_size));
    }
    let is_large = weight.row_group > bounds.row_group;
    let mut inner = GuardedParquet::new(Arc::clone(config.file_source()));
    if weight.row < bounds.least_filtered_row && !weight.may_be_heavier {
        inner = inner.without_row_filters();
    }
    let texts = match TamisOptions::from_config(state.config_options()).invalid_utf8() {
        InvalidUtf8::Error => Texts::Refused,
        InvalidUtf8::Replace => Texts::Replaced,
    };
    // DataFusion's reader ends at a text that is none.
    let is_ours = is_large || texts != Texts::Refused;
    let must_stream = row_number.is_some();
    let metadata_cache = state.runtime_env().cache_manager.get_file_metadata_cache();
    let (sizes, is_cut) = (bounds.stream, false);
    let streaming = Streaming { metadata_cache, batch_size, sizes, row_number, is_cut, texts };
    let source: Arc<dyn FileSource> = if must_stream || is_ours && weight.can_stream {
        Arc::new(StreamedParquet::new(inner, streaming))
    } else {
        if is_large {
            builder = fewer_partitions(builder, state, config, (bounds.row_groups / weight.row_group).max(1) as usize);
        }
        Arc::new(inner.with_streaming(weight.can_stream.then_some(streaming)))
    };
    Ok(DataSourceExec::from_data_source(builder.with_source(source).build()))
}

fn fewer_partitions(
    builder: FileScanConfigBuilder,
    state: &dyn Session,
    config: &FileScanConfig,
    partitions: usize,
) -> FileScanConfigBuilder {
    if partitions >= state.config().target_partitions() {
        return builder;
    }
    // A declared partitioning keeps the optimizer from splitting the files further.
    let files = config.file_groups.iter().flat_map(|group| group.iter().cloned()).collect::<Vec<_>>();
    let groups = FileGroup::new(files).split_files(partitions);
    let partitioning = Partitioning::UnknownPartitioning(groups.len());
    builder.with_file_groups(groups).with_output_partitioning(Some(partitioning))
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
    /// Whether binary values are read whose repetitions a dictionary may hide.
    may_be_heavier: bool,
}

impl Weight {
    const NONE: Self = Self { row_group: 0, row: 0, can_stream: true, may_be_heavier: false };

    fn max(self, other: Self) -> Self {
        Self {
            row_group: self.row_group.max(other.row_group),
            row: self.row.max(other.row),
            can_stream: self.can_stream && other.can_stream,
            may_be_heavier: self.may_be_heavier || other.may_be_heavier,
        }
    }

    fn batch_size(&self, bytes: u64, most: usize) -> usize {
        let rows = bytes / self.row.max(1);
        usize::try_from(rows).unwrap_or(usize::MAX).clamp(1, most)
    }
}

/// Weighs the files of a scan by their metadata, which planning has fetched and cached. Of very many files some are taken.
async fn weigh(state: &dyn Session, config: &FileScanConfig) -> Result<Weight> {
    let store = state.runtime_env().object_store(&config.object_store_url)?;
    let columns = columns_read(config.file_source().as_ref());
    let files = config.file_groups.iter().flat_map(FileGroup::iter).map(|f| f.object_meta.clone()).collect();
    let is_read = |root: &str| columns.iter().any(|column| column == root);
    weigh_files(state, &store, files, is_read).await
}

/// Whether all columns of these files can be read as streams.
pub(super) async fn can_stream_all(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    files: Vec<ObjectMeta>,
) -> Result<bool> {
    Ok(weigh_files(state, store, files, |_| true).await?.can_stream)
}

async fn weigh_files(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    files: Vec<ObjectMeta>,
    is_read: impl Fn(&str) -> bool + Sync,
) -> Result<Weight> {
    let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
    let step = files.len().div_ceil(FILES_LOOKED_AT).max(1);
    stream::iter(files.into_iter().step_by(step))
        .map(|file| {
            let (store, cache) = (Arc::clone(store), Arc::clone(&cache));
            async move { fetch_metadata(store.as_ref(), &file, &cache).await }
        })
        .buffer_unordered(CONCURRENT_FETCHES)
        .try_fold(Weight::NONE, |weight, metadata| {
            let file = weigh_file(&metadata, &is_read);
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

fn weigh_file(metadata: &ParquetMetaData, is_read: impl Fn(&str) -> bool) -> Weight {
    metadata.row_groups().iter().fold(Weight::NONE, |weight, group| {
        let is_read = |chunk: &&ColumnChunkMetaData| chunk.column_path().parts().first().is_some_and(|r| is_read(r));
        let chunks = group.columns().iter().filter(is_read);
        let whole = chunks.fold(Weight::NONE, |whole, chunk| Weight {
            row_group: whole.row_group + weigh_chunk(chunk),
            can_stream: whole.can_stream && can_stream(chunk.compression()),
            may_be_heavier: whole.may_be_heavier || may_be_heavier(chunk),
            ..whole
        });
        let rows = group.num_rows().max(1) as u64;
        weight.max(Weight { row: whole.row_group.div_ceil(rows), ..whole })
    })
}

/// The size of a chunk's values. A dictionary hides repeated values; writers that count the unencoded bytes tell.
fn weigh_chunk(chunk: &ColumnChunkMetaData) -> u64 {
    let encoded = chunk.uncompressed_size().max(chunk.compressed_size());
    let unencoded = chunk.unencoded_byte_array_data_bytes().unwrap_or(0);
    encoded.max(unencoded).max(0) as u64
}

/// Whether the values of a chunk may weigh much more than [`weigh_chunk`] sees: images that many rows share.
fn may_be_heavier(chunk: &ColumnChunkMetaData) -> bool {
    let column = chunk.column_descr();
    column.physical_type() == Type::BYTE_ARRAY
        && column.converted_type() != ConvertedType::UTF8
        && chunk.dictionary_page_offset().is_some()
        && chunk.unencoded_byte_array_data_bytes().is_none()
}

#[cfg(test)]
mod tests {
    use datafusion::parquet::schema::parser::parse_message_type;
    use datafusion::parquet::schema::types::SchemaDescriptor;

    use super::*;

    #[test]
    fn a_dictionary_may_hide_how_heavy_images_are() {
        let schema = parse_message_type("message m { required binary image; required binary text (UTF8); }").unwrap();
        let schema = SchemaDescriptor::new(Arc::new(schema));
        let chunk = |column: usize, dictionary: Option<i64>, unencoded: Option<i64>| {
            let chunk = ColumnChunkMetaData::builder(schema.column(column)).set_dictionary_page_offset(dictionary);
            may_be_heavier(&chunk.set_unencoded_byte_array_data_bytes(unencoded).build().unwrap())
        };
        assert!(chunk(0, Some(4), None));
        assert!(!chunk(0, None, None) && !chunk(0, Some(4), Some(9)) && !chunk(1, Some(4), None));
    }

    #[test]
    fn batches_are_sized_by_bytes() {
        let weight = |row| Weight { row, ..Weight::NONE };
        assert_eq!(weight(0).batch_size(16 << 20, 8192), 8192);
        assert_eq!(weight(100).batch_size(16 << 20, 8192), 8192);
        assert_eq!(weight(1 << 20).batch_size(16 << 20, 8192), 16);
        assert_eq!(weight(1 << 30).batch_size(16 << 20, 8192), 1);
    }
}
