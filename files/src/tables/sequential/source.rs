//! Scans of files that are read from their beginning to their end.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr};
use object_store::ObjectStore;

use super::form::Form;
use super::opener::SequentialOpener;
use crate::tables::named::name_opened;

/// Rows of a batch if nobody has said how many.
const BATCH_SIZE: usize = 8192;

/// A source of files in one form.
#[derive(Debug, Clone)]
pub(in crate::tables) struct SequentialSource {
    form: Form,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_size: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl SequentialSource {
    /// Reads the columns of `table_schema` from files of this form.
    pub(in crate::tables) fn new(form: Form, table_schema: TableSchema) -> Self {
        let projection = SplitProjection::unprojected(&table_schema);
        Self { form, table_schema, projection, batch_size: BATCH_SIZE, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The same, with marks in the places of texts of these columns that are none.
    pub(in crate::tables) fn marked(&self, columns: Arc<[String]>) -> Self {
        let mut marked = self.clone();
        marked.form.marked = columns;
        marked
    }

    /// How the files are read.
    pub(in crate::tables) fn form(&self) -> &Form {
        &self.form
    }
}

impl FileSource for SequentialSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let table = self.table_schema.file_schema();
        let opener = SequentialOpener {
            store,
            form: self.form.clone(),
            wanted: Arc::new(table.project(&self.projection.file_indices)?),
            table: Arc::clone(table),
            batch_size: self.batch_size,
        };
        let opener = ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), table)?;
        Ok(name_opened(opener, &config.object_store_url))
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_size, ..self.clone() })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        self.form.name()
    }

    fn fmt_extra(&self, _t: DisplayFormatType, _f: &mut Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    /// Where a record begins is known at the beginning of a file alone.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.projection.source.iter(), f)
    }
}
