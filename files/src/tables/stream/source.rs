//! A Parquet file source whose files are read as streams.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr_adapter::DefaultPhysicalExprAdapterFactory;
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr};
use object_store::ObjectStore;

use super::block::Sizes;
use super::opener::StreamOpener;
use super::texts::Texts;
use crate::tables::guarded::GuardedParquet;
use crate::tables::named::name_opened;

/// DataFusion's Parquet source with another way to read the files.
///
/// Planning is left to the source inside: what it takes of projections and predicates is what the opener works with.
#[derive(Clone)]
pub(in crate::tables) struct StreamedParquet {
    inner: Arc<dyn FileSource>,
    streaming: Streaming,
}

/// How files are read as streams.
#[derive(Clone)]
pub(in crate::tables) struct Streaming {
    pub(in crate::tables) metadata_cache: Arc<FileMetadataCache>,
    pub(in crate::tables) batch_size: usize,
    pub(in crate::tables) sizes: Sizes,
    /// The name of the column of row numbers, the last of the file schema, if there is one.
    pub(in crate::tables) row_number: Option<String>,
    /// Whether the scan's partitions were cut by rows, and stay as they are.
    pub(in crate::tables) is_cut: bool,
    /// What becomes of texts that are none.
    pub(in crate::tables) texts: Texts,
}

impl StreamedParquet {
    /// Plans as `inner` does and reads as streams.
    pub(in crate::tables) fn new(inner: GuardedParquet, streaming: Streaming) -> Self {
        Self { inner: Arc::new(inner), streaming }
    }

    /// The source that plans.
    pub(in crate::tables) fn guarded(&self) -> Option<&GuardedParquet> {
        self.inner.downcast_ref()
    }

    /// How files are read.
    pub(in crate::tables) fn streaming(&self) -> &Streaming {
        &self.streaming
    }

    /// The same, with marks in the places of texts of these columns that are none, unless they are replaced.
    pub(in crate::tables) fn marked(&self, columns: Arc<[String]>) -> Self {
        let texts = match &self.streaming.texts {
            Texts::Replaced => Texts::Replaced,
            _ => Texts::Marked(columns),
        };
        Self { inner: Arc::clone(&self.inner), streaming: Streaming { texts, ..self.streaming.clone() } }
    }

    /// The same, with partitions that stay as they are.
    pub(in crate::tables) fn cut(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), streaming: Streaming { is_cut: true, ..self.streaming.clone() } }
    }

    fn with_inner(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, ..self.clone() })
    }
}

impl FileSource for StreamedParquet {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let table_schema = self.inner.table_schema().clone();
        let projection = match self.inner.projection() {
            Some(projection) => projection.clone(),
            None => {
                let schema = table_schema.table_schema();
                let all: Vec<usize> = (0..schema.fields().len()).collect();
                ProjectionExprs::from_indices(&all, schema)
            }
        };
        let adapters = config.expr_adapter_factory.clone();
        let Streaming { metadata_cache, batch_size, sizes, row_number, texts, is_cut: _ } = self.streaming.clone();
        let opener = Arc::new(StreamOpener {
            store,
            metadata_cache,
            adapters: adapters.unwrap_or_else(|| Arc::new(DefaultPhysicalExprAdapterFactory)),
            table_schema,
            projection,
            predicate: self.inner.filter(),
            filters_rows: self.guarded().is_some_and(GuardedParquet::filters_rows),
            row_number,
            rows: None,
            sizes,
            batch_size,
            texts,
            partition,
            metrics: self.inner.metrics().clone(),
            scanned: None,
        });
        Ok(name_opened(opener, &config.object_store_url))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let streaming = Streaming { batch_size, ..self.streaming.clone() };
        Arc::new(Self { inner: self.inner.with_batch_size(batch_size), streaming })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(t, f)?;
        match t {
            DisplayFormatType::TreeRender => writeln!(f, "streamed=true, batch_size={}", self.streaming.batch_size),
            _ => write!(f, ", streamed=true, batch_size={}", self.streaming.batch_size),
        }
    }

    fn supports_repartitioning(&self) -> bool {
        !self.streaming.is_cut && self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.inner.try_pushdown_filters(filters, config)?;
        pushed.updated_node = pushed.updated_node.map(|inner| self.with_inner(inner));
        Ok(pushed)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.with_inner(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}
