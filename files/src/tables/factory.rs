//! `CREATE EXTERNAL TABLE`: files as a table, with what a statement says of them.

use std::sync::Arc;

use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::common::{internal_datafusion_err, plan_datafusion_err, plan_err};
use datafusion::datasource::file_format::FileFormat;
use datafusion::error::Result;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::CreateExternalTable;
use futures::future::BoxFuture;

use super::bounded::Bounds;
use super::format::{FileKind, FormatName};
use super::table::{Declared, FilesTable};
use super::{FileTables, location::TableLocation};

/// The formats of `STORED AS`.
pub(super) const FORMATS: [&str; 8] = ["PARQUET", "CSV", "TSV", "JSON", "NDJSON", "JSONL", "ARROW", "FEATHER"];

/// Makes tables of statements.
#[derive(Debug, Default)]
pub(super) struct DeclaredTables;

// As `async_trait` has it, but for what its futures hold: nothing that leads to a plan (docs/adr/0012).
impl TableProviderFactory for DeclaredTables {
    fn create<'a, 'b, 'c, 'f>(
        &'a self,
        session: &'b dyn Session,
        statement: &'c CreateExternalTable,
    ) -> BoxFuture<'f, Result<Arc<dyn TableProvider>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        Self: 'f,
    {
        Box::pin(create(session, statement))
    }
}

async fn create(session: &dyn Session, statement: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
    let [location] = statement.locations.as_slice() else {
        return plan_err!("a table has one LOCATION, which may be a pattern; UNION ALL puts several tables together");
    };
    if statement.unbounded {
        return plan_err!("tables without an end are not supported");
    }
    let columns = statement.schema.inner();
    let declared = Declared {
        kind: Some(FileKind::named(&statement.file_type)?),
        columns: (!columns.fields().is_empty()).then(|| Arc::clone(columns)),
        partitions: statement.table_partition_cols.clone(),
        options: statement.options.clone(),
        orders: statement.order_exprs.clone(),
        constraints: statement.constraints.clone(),
        defaults: statement.column_defaults.clone(),
        definition: statement.definition.clone(),
    };
    if let (Some(columns), Some(missing)) =
        (&declared.columns, declared.partitions.iter().find(|name| columns.field_with_name(name).is_err()))
    {
        return plan_err!("PARTITIONED BY {missing}: no column of this name is declared, in {columns}");
    }
    let table = FilesTable::open(session, TableLocation::parse(location)?, declared).await?;
    if let Some(missing) = missing_partition(&table, statement) {
        return plan_err!("PARTITIONED BY {missing}: no folder of {location} is called {missing}=...");
    }
    FileTables::table(session, table, Bounds::default()).await
}

fn missing_partition<'a>(table: &FilesTable, statement: &'a CreateExternalTable) -> Option<&'a String> {
    let schema = table.schema();
    let folders = &schema.fields()[table.columns_in_files()..];
    let mut named = statement.table_partition_cols.iter();
    named.find(|name| !folders.iter().any(|folder| folder.name() == *name))
}

/// DataFusion's writer of files such as a table's.
pub(super) fn writer(session: &dyn Session, table: &FilesTable) -> Result<Arc<dyn FileFormat>> {
    let state = session.as_any().downcast_ref::<SessionState>();
    let state =
        state.ok_or_else(|| internal_datafusion_err!("rows are added to tables in a session of DataFusion's"))?;
    let mut options = table.declared().options.clone();
    let name = match table.format() {
        FormatName::Parquet => "parquet",
        FormatName::Csv => "csv",
        FormatName::Tsv => {
            options.entry("format.delimiter".into()).or_insert_with(|| "\t".into());
            "csv"
        }
        FormatName::Json => "json",
        FormatName::Arrow => "arrow",
    };
    let factory = state.get_file_format_factory(name);
    factory.ok_or_else(|| plan_datafusion_err!("this build cannot write {name} files"))?.create(state, &options)
}
