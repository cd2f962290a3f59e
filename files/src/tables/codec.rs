//! Scans and row readers on the wire.
//!
//! A scan travels as DataFusion's own scan of Parquet files, in an envelope that tells how the files are read.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::protobuf;
use prost::Message;
use tamis_planner::RowReader;
use tamis_planner::codec::{Decoder, Encoder, NodeCodec, RowReaderCodec, decode_message};

use super::guarded::GuardedParquet;
use super::metadata::Readers;
use super::row_reader::FileRows;
use super::sequential::{Form, FormMessage, SequentialSource};
use super::stream::{RowRange, Sizes, StreamedParquet, Streaming, Texts};

/// Encodes and decodes our scans of files.
#[derive(Debug, Default)]
pub struct ScanNodes;

#[derive(Clone, PartialEq, Message)]
struct ScanMessage {
    /// The scan as DataFusion's.
    #[prost(message, optional, tag = "1")]
    plan: Option<protobuf::PhysicalPlanNode>,
    /// How files are streamed, if they are.
    #[prost(message, optional, tag = "2")]
    streaming: Option<StreamingMessage>,
    #[prost(message, repeated, tag = "3")]
    ranges: Vec<RangeMessage>,
    #[prost(bool, tag = "4")]
    is_cut: bool,
    /// What the files are, if they are not Parquet.
    #[prost(message, optional, tag = "5")]
    form: Option<FormMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct StreamingMessage {
    #[prost(uint64, tag = "1")]
    batch_size: u64,
    #[prost(string, optional, tag = "2")]
    row_number: Option<String>,
    #[prost(message, optional, tag = "3")]
    sizes: Option<SizesMessage>,
    #[prost(bool, tag = "4")]
    replaces_invalid: bool,
    /// Columns in which texts that are none are marked.
    #[prost(string, repeated, tag = "5")]
    marked: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct SizesMessage {
    #[prost(uint64, tag = "1")]
    block: u64,
    #[prost(uint64, tag = "2")]
    cut_larger_than: u64,
    #[prost(uint64, tag = "3")]
    cut_into: u64,
}

/// The rows to read of one file.
#[derive(Clone, Copy, PartialEq, Message)]
struct RangeMessage {
    #[prost(uint64, tag = "1")]
    group: u64,
    #[prost(uint64, tag = "2")]
    file: u64,
    #[prost(uint64, tag = "3")]
    start: u64,
    #[prost(uint64, tag = "4")]
    end: u64,
}

impl From<Sizes> for SizesMessage {
    fn from(sizes: Sizes) -> Self {
        Self { block: sizes.block, cut_larger_than: sizes.cut_larger_than as u64, cut_into: sizes.cut_into as u64 }
    }
}

impl From<SizesMessage> for Sizes {
    fn from(sizes: SizesMessage) -> Self {
        Self { block: sizes.block, cut_larger_than: sizes.cut_larger_than as usize, cut_into: sizes.cut_into as usize }
    }
}

pub(super) fn scan_of(node: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    let source = node.downcast_ref::<DataSourceExec>()?.data_source().as_ref();
    (source as &dyn Any).downcast_ref::<FileScanConfig>()
}

/// The source that plans, and how its files are streamed.
pub(super) fn parts(source: &dyn FileSource) -> Option<(&GuardedParquet, Option<&Streaming>)> {
    if let Some(streamed) = source.downcast_ref::<StreamedParquet>() {
        return Some((streamed.guarded()?, Some(streamed.streaming())));
    }
    Some((source.downcast_ref::<GuardedParquet>()?, None))
}

impl NodeCodec for ScanNodes {
    fn kind(&self) -> &'static str {
        "scan"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, wire: &Encoder<'_>) -> Result<Option<Vec<u8>>> {
        let Some(config) = scan_of(node) else { return Ok(None) };
        let (inner, streaming, form) = match config.file_source().downcast_ref::<SequentialSource>() {
            Some(source) => (stand_in(source)?, None, Some(FormMessage::from(source.form()))),
            None => {
                let Some((guarded, streaming)) = parts(config.file_source().as_ref()) else { return Ok(None) };
                (Arc::clone(guarded.inner()), streaming, None)
            }
        };
        let plain = FileScanConfigBuilder::from(config.clone()).with_source(inner).build();
        let plain: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(plain);
        let message = ScanMessage {
            plan: Some(wire.plan(&plain)?),
            streaming: streaming.map(|streaming| StreamingMessage {
                batch_size: streaming.batch_size as u64,
                row_number: streaming.row_number.clone(),
                sizes: Some(streaming.sizes.into()),
                replaces_invalid: streaming.texts == Texts::Replaced,
                marked: match &streaming.texts {
                    Texts::Marked(columns) => columns.to_vec(),
                    _ => vec![],
                },
            }),
            ranges: ranges(config),
            is_cut: streaming.is_some_and(|streaming| streaming.is_cut),
            form,
        };
        Ok(Some(message.encode_to_vec()))
    }

    fn decode(
        &self,
        bytes: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        wire: &Decoder<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let message: ScanMessage = decode_message(self.kind(), bytes)?;
        let missing = || internal_datafusion_err!("a scan came without its plan");
        let plain = wire.plan(&message.plan.ok_or_else(missing)?)?;
        let Some(config) = scan_of(&plain) else { return internal_err!("a scan came as {}", plain.name()) };
        if let Some(form) = message.form {
            let source = sequential(form.try_into()?, config.file_source().as_ref())?;
            let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
            return Ok(DataSourceExec::from_data_source(config));
        }
        let runtime = wire.context().runtime_env();
        let metadata_cache = runtime.cache_manager.get_file_metadata_cache();
        let store = runtime.object_store(&config.object_store_url)?;
        let readers = Arc::new(Readers::new(store, Arc::clone(&metadata_cache)));
        let Some(parquet) = config.file_source().downcast_ref::<ParquetSource>() else {
            return internal_err!("a scan came of {} files", config.file_source().file_type());
        };
        let guarded = GuardedParquet::new(Arc::new(parquet.clone().with_parquet_file_reader_factory(readers)));
        let source: Arc<dyn FileSource> = match message.streaming {
            Some(streaming) => {
                let sizes = streaming.sizes.map(Sizes::from).unwrap_or_default();
                let (batch_size, row_number) = (streaming.batch_size as usize, streaming.row_number);
                let texts = match (streaming.replaces_invalid, streaming.marked) {
                    (true, _) => Texts::Replaced,
                    (false, columns) if columns.is_empty() => Texts::Refused,
                    (false, columns) => Texts::Marked(columns.into()),
                };
                let is_cut = message.is_cut;
                let streaming = Streaming { metadata_cache, batch_size, sizes, row_number, is_cut, texts };
                Arc::new(StreamedParquet::new(guarded, streaming))
            }
            None => Arc::new(guarded),
        };
        let mut groups: Vec<Vec<_>> = config.file_groups.iter().map(|group| group.files().to_vec()).collect();
        for range in message.ranges {
            let file = groups.get_mut(range.group as usize).and_then(|group| group.get_mut(range.file as usize));
            let Some(file) = file else { return internal_err!("a scan came with rows of a file that it has not") };
            file.extensions.insert(RowRange(range.start..range.end));
        }
        let groups = groups.into_iter().map(FileGroup::new).collect();
        let config = FileScanConfigBuilder::from(config.clone()).with_source(source).with_file_groups(groups).build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// A scan of the same columns that DataFusion can send.
fn stand_in(source: &SequentialSource) -> Result<Arc<dyn FileSource>> {
    let plain: Arc<dyn FileSource> = Arc::new(ParquetSource::new(source.table_schema().clone()));
    projected(plain, source)
}

/// What a [`stand_in`] stands for.
fn sequential(form: Form, stand_in: &dyn FileSource) -> Result<Arc<dyn FileSource>> {
    projected(Arc::new(SequentialSource::new(form, stand_in.table_schema().clone())), stand_in)
}

fn projected(source: Arc<dyn FileSource>, like: &dyn FileSource) -> Result<Arc<dyn FileSource>> {
    match like.projection() {
        Some(projection) => Ok(source.try_pushdown_projection(projection)?.unwrap_or(source)),
        None => Ok(source),
    }
}

fn ranges(config: &FileScanConfig) -> Vec<RangeMessage> {
    let files = config.file_groups.iter().enumerate().flat_map(|(group, files)| {
        files.iter().enumerate().filter_map(move |(file, partitioned)| {
            let RowRange(rows) = partitioned.extensions.get::<RowRange>()?;
            Some(RangeMessage { group: group as u64, file: file as u64, start: rows.start, end: rows.end })
        })
    });
    files.collect()
}

/// Encodes and decodes the readers of our tables' rows.
#[derive(Debug, Default)]
pub struct RowReaders;

#[derive(Clone, PartialEq, Message)]
struct ReaderMessage {
    #[prost(string, tag = "1")]
    store: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<protobuf::Schema>,
    #[prost(message, optional, tag = "3")]
    sizes: Option<SizesMessage>,
}

impl RowReaderCodec for RowReaders {
    fn encode(&self, reader: &dyn RowReader) -> Result<Vec<u8>> {
        let Some(FileRows { store, schema, sizes }) = (reader as &dyn Any).downcast_ref() else {
            return internal_err!("encoding a reader of rows: {reader:?} is none of a table of files");
        };
        let schema = protobuf::Schema::try_from(schema.as_ref())
            .map_err(|e| internal_datafusion_err!("encoding a reader of rows: {e}"))?;
        let message =
            ReaderMessage { store: store.as_str().into(), schema: Some(schema), sizes: Some((*sizes).into()) };
        Ok(message.encode_to_vec())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Arc<dyn RowReader>> {
        let message: ReaderMessage = decode_message("reader of rows", bytes)?;
        let missing = || internal_datafusion_err!("a reader of rows came without its schema");
        let schema = Schema::try_from(&message.schema.ok_or_else(missing)?)
            .map_err(|e| internal_datafusion_err!("decoding a reader of rows: {e}"))?;
        let sizes = message.sizes.map(Sizes::from).unwrap_or_default();
        Ok(Arc::new(FileRows { store: ObjectStoreUrl::parse(&message.store)?, schema: Arc::new(schema), sizes }))
    }
}
