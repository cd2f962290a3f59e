//! A Parquet file source that keeps model calls out of its row filters.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalSortExpr, ScalarFunctionExpr};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr, SortOrderPushdownResult};
use datafusion_datasource::morsel::Morselizer;
use object_store::ObjectStore;
use tamis_udfs::calls::model_function;

use super::named::name_files;
use super::not_utf8::NotUtf8;
use super::stream::Streaming;

/// DataFusion's Parquet source, but for predicates that call a model: it takes none.
///
/// A row filter would call the model for a whole row group before the first row goes on, and again above the scan.
#[derive(Clone)]
pub(super) struct GuardedParquet {
    inner: Arc<dyn FileSource>,
    /// Whether it may take predicates as row filters, where the session's options say so.
    may_filter_rows: bool,
    /// How the files can be streamed instead, if they can be.
    streaming: Option<Streaming>,
}

impl GuardedParquet {
    /// Reads as `inner`, a [`ParquetSource`], does.
    pub(super) fn new(inner: Arc<dyn FileSource>) -> Self {
        Self { inner, may_filter_rows: true, streaming: None }
    }

    /// The same, with predicates for what the files' statistics tell alone: no filter of rows.
    pub(super) fn without_row_filters(self) -> Self {
        let inner: Arc<dyn FileSource> = match self.inner.downcast_ref::<ParquetSource>() {
            Some(source) => Arc::new(source.clone().with_pushdown_filters(false)),
            None => self.inner,
        };
        Self { inner, may_filter_rows: false, streaming: self.streaming }
    }

    /// The same, of files that can be streamed in this way.
    pub(super) fn with_streaming(self, streaming: Option<Streaming>) -> Self {
        Self { streaming, ..self }
    }

    /// How the files can be streamed.
    pub(super) fn streaming(&self) -> Option<&Streaming> {
        self.streaming.as_ref()
    }

    /// The source inside.
    pub(super) fn inner(&self) -> &Arc<dyn FileSource> {
        &self.inner
    }

    /// Whether the source inside has told the plan that it applies its predicate to rows.
    pub(super) fn filters_rows(&self) -> bool {
        let inner = self.inner.downcast_ref::<ParquetSource>();
        inner.is_some_and(|source| source.table_parquet_options().global.pushdown_filters)
    }

    fn over(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, ..self.clone() })
    }
}

/// Whether a predicate calls a model.
fn calls_a_model(predicate: &Arc<dyn PhysicalExpr>) -> bool {
    let is_call = |expr: &Arc<dyn PhysicalExpr>| {
        let function = expr.downcast_ref::<ScalarFunctionExpr>();
        Ok(function.is_some_and(|function| model_function(function.fun().name()).is_some()))
    };
    // A predicate that cannot be looked at is taken for one that does.
    predicate.exists(is_call).unwrap_or(true)
}

impl FileSource for GuardedParquet {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let explain = NotUtf8 { store: Arc::clone(&store), table: self.inner.table_schema().clone() };
        let inner = self.inner.create_morselizer(store, config, partition)?;
        Ok(name_files(inner, &config.object_store_url, Arc::new(explain)))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.over(self.inner.with_batch_size(batch_size))
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
        self.inner.fmt_extra(t, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let calls: Vec<bool> = filters.iter().map(calls_a_model).collect();
        let others = filters.into_iter().zip(&calls).filter(|(_, calls)| !**calls).map(|(filter, _)| filter).collect();
        let mut pushed = if self.may_filter_rows {
            self.inner.try_pushdown_filters(others, config)?
        } else {
            let mut config = config.clone();
            config.execution.parquet.pushdown_filters = false;
            self.inner.try_pushdown_filters(others, &config)?
        };
        let mut answers = std::mem::take(&mut pushed.filters).into_iter();
        let answer = |calls: &bool| {
            if *calls { None } else { answers.next() }
        };
        let answers = calls.iter().map(answer).map(|answer| answer.unwrap_or(PushedDown::No)).collect();
        Ok(FilterPushdownPropagation {
            filters: answers,
            updated_node: pushed.updated_node.map(|inner| self.over(inner)),
        })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match self.inner.try_pushdown_sort(order, properties)? {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact { inner: self.over(inner) },
            SortOrderPushdownResult::Inexact { inner } => SortOrderPushdownResult::Inexact { inner: self.over(inner) },
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.over(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}
