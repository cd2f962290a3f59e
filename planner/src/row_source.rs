//! Tables whose rows can be read again by address.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::{Constraints, Statistics};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::Count;

/// A table of files that can tell where a row lies, and has a reader of rows that lie there.
pub trait RowSource: TableProvider {
    /// The same table with two more columns behind its own, both without NULLs: the file that a row is in
    /// (Utf8 or a dictionary of it) and its number in the file, counted from 0 (UInt64).
    fn with_row_addresses(&self, file: &str, row: &str) -> Result<Arc<dyn TableProvider>>;

    /// Reads the table's rows by address.
    fn row_reader(&self) -> Arc<dyn RowReader>;
}

/// Reads rows by address: what a plan takes of a [`RowSource`] to where it runs.
pub trait RowReader: fmt::Debug + Send + Sync + Any {
    /// Reads the columns of these places in the table's schema, of rows of one file. The numbers ascend; there is one row
    /// for each of them, in their order. The bytes that are read are added to `scanned`.
    fn fetch_rows(
        &self,
        file: &str,
        rows: Arc<[u64]>,
        columns: &[usize],
        context: &TaskContext,
        scanned: &Count,
    ) -> Result<SendableRecordBatchStream>;
}

/// A [`RowSource`] as the table that a plan scans, so that rules can recognise it.
#[derive(Debug, Clone)]
pub struct RowTable(Arc<dyn RowSource>);

impl RowTable {
    /// The table over `source`.
    pub fn new(source: Arc<dyn RowSource>) -> Self {
        Self(source)
    }

    /// What knows the rows' places.
    pub fn source(&self) -> &Arc<dyn RowSource> {
        &self.0
    }
}

/// Two are equal if they are one.
impl PartialEq for RowTable {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RowTable {}

impl Hash for RowTable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<()>().hash(state);
    }
}

#[async_trait]
impl TableProvider for RowTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.0.constraints()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.0.get_table_definition()
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        self.0.get_logical_plan()
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.0.get_column_default(column)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.scan(state, projection, filters, limit).await
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> Result<ScanResult> {
        self.0.scan_with_args(state, args).await
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        self.0.statistics()
    }

    async fn insert_into(
        &self,
        state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        operation: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.insert_into(state, input, operation).await
    }
}
