//! Parquet tables whose rows have addresses: the file and the row's number in it.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{ColumnStatistics, Constraints, ScalarValue, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::future::BoxFuture;
use tamis_planner::{RowReader, RowSource};

use super::bounded::{BoundedTable, bounded};
use super::row_reader::FileRows;
use super::stream::{row_number_field, with_field};

/// A Parquet table with two more columns, the file and the number of each row.
#[derive(Debug)]
struct AddressedTable {
    table: BoundedTable,
    file: String,
    row: String,
    schema: SchemaRef,
}

fn file_field(name: &str) -> Field {
    // No dictionary: what goes over the network between a cluster's stages has none.
    Field::new(name, DataType::Utf8, false)
}

fn file_value(file: &PartitionedFile) -> ScalarValue {
    ScalarValue::Utf8(Some(file.object_meta.location.to_string()))
}

impl RowSource for BoundedTable {
    fn with_row_addresses(&self, file: &str, row: &str) -> Result<Arc<dyn TableProvider>> {
        let own = self.inner.schema();
        let schema = Arc::new(with_field(&with_field(&own, file_field(file)), row_number_field(row)));
        Ok(Arc::new(AddressedTable { table: self.clone(), file: file.into(), row: row.into(), schema }))
    }

    fn row_reader(&self) -> Arc<dyn RowReader> {
        let own = self.inner.schema();
        let in_files: Fields = own.fields().iter().take(self.inner.columns_in_files()).cloned().collect();
        let schema = Arc::new(Schema::new_with_metadata(in_files, own.metadata().clone()));
        Arc::new(FileRows { store: self.inner.store().clone(), schema, sizes: self.bounds.stream })
    }
}

// As `async_trait` has it, but for what its futures hold: nothing that leads to a plan (docs/adr/0012).
impl TableProvider for AddressedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
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
        self.addressed_scan(state, projection, filters, limit)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }
}

impl AddressedTable {
    fn addressed_scan<'f>(
        &'f self,
        state: &'f dyn Session,
        projection: Option<&'f Vec<usize>>,
        filters: &'f [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let all = (0..self.schema.fields().len()).collect();
            let projection = projection.unwrap_or(&all);
            let Some(config) = self.table.inner.scan(state, None, filters, limit).await? else {
                let schema = Arc::new(self.schema.project(projection)?);
                return Ok(Arc::new(EmptyExec::new(schema)) as Arc<dyn ExecutionPlan>);
            };
            let config = self.addressed(&config, projection)?;
            bounded(state, &config, &self.table.bounds, Some(self.row.clone())).await
        })
    }

    /// The scan of `config` with two more columns: the row's number, as if the files had it, and the file, as if it were
    /// in the name of a folder.
    fn addressed(&self, config: &FileScanConfig, places: &[usize]) -> Result<FileScanConfig> {
        let Some(source) = config.file_source().downcast_ref::<ParquetSource>() else {
            return internal_err!("a table whose rows have addresses is not of Parquet files");
        };
        let from = config.file_source().table_schema();
        let in_files = from.file_schema().fields().len();
        let in_folders = from.table_partition_cols();
        let file_schema: Schema = with_field(from.file_schema(), row_number_field(&self.row));
        let folders: Vec<_> = in_folders.iter().cloned().chain([Arc::new(file_field(&self.file))]).collect();
        let schema = TableSchema::builder(Arc::new(file_schema)).with_table_partition_cols(folders).build();

        let groups = config.file_groups.iter().map(|group| {
            let files = group.iter().cloned().map(|mut file| {
                file.partition_values.push(file_value(&file));
                // They know nothing of the new columns.
                file.statistics = None;
                file
            });
            FileGroup::new(files.collect())
        });
        let mut statistics = config.statistics();
        if statistics.column_statistics.len() == in_files + in_folders.len() {
            statistics.column_statistics.insert(in_files, ColumnStatistics::new_unknown());
            statistics.column_statistics.push(ColumnStatistics::new_unknown());
        }
        let own = self.table.inner.schema().fields().len();
        // Of the new table's columns: those in files, the number, those in folders, the file.
        let place = |place: &usize| match *place {
            place if place < in_files => place,
            place if place < own => place + 1,
            place if place == own => own + 1,
            _ => in_files,
        };
        let source = ParquetSource::new(schema).with_table_parquet_options(source.table_parquet_options().clone());
        let builder = FileScanConfigBuilder::from(config.clone())
            .with_source(Arc::new(source))
            .with_file_groups(groups.collect())
            .with_statistics(statistics)
            .with_constraints(Constraints::default())
            .with_output_ordering(vec![])
            .with_output_partitioning(None)
            .with_projection_indices(Some(places.iter().map(place).collect()))?;
        Ok(builder.build())
    }
}
