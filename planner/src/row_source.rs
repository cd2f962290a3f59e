//! Tables whose rows can be read again by address.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::{Constraints, Statistics};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::Count;
use futures::future::BoxFuture;

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

// As `async_trait` has it, but for what its futures hold: nothing that leads to a plan (docs/adr/0012).
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
        self.0.scan(state, projection, filters, limit)
    }

    fn scan_with_args<'args, 'a, 'b, 'f>(
        &'a self,
        state: &'b dyn Session,
        args: ScanArgs<'args>,
    ) -> BoxFuture<'f, Result<ScanResult>>
    where
        'args: 'f,
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        self.0.scan_with_args(state, args)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        self.0.statistics()
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
        self.0.insert_into(state, input, operation)
    }
}
