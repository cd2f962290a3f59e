//! Reading rows of Parquet files by address.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{exec_datafusion_err, plan_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileOpener;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr_adapter::DefaultPhysicalExprAdapterFactory;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tamis_planner::RowReader;

use super::stream::{Sizes, StreamOpener, Texts};

/// Rows that are fetched come in batches of so many: they are held together anyway.
const FETCHED_BATCH: usize = 16;

/// Reads the rows of a table's Parquet files.
#[derive(Debug, Clone)]
pub(super) struct FileRows {
    /// Where the files lie.
    pub(super) store: ObjectStoreUrl,
    /// The columns that are in the files, which are the table's first ones.
    pub(super) schema: SchemaRef,
    /// How they are read.
    pub(super) sizes: Sizes,
}

impl RowReader for FileRows {
    fn fetch_rows(
        &self,
        file: &str,
        rows: Arc<[u64]>,
        columns: &[usize],
        context: &TaskContext,
        scanned: &Count,
    ) -> Result<SendableRecordBatchStream> {
        if columns.iter().any(|column| *column >= self.schema.fields().len()) {
            return plan_err!("fetching rows of {file}: a column is not in the file");
        }
        let schema = Arc::new(self.schema.project(columns)?);
        let runtime = context.runtime_env();
        let store = runtime.object_store(&self.store)?;
        let opener = StreamOpener {
            store: Arc::clone(&store),
            metadata_cache: runtime.cache_manager.get_file_metadata_cache(),
            adapters: Arc::new(DefaultPhysicalExprAdapterFactory),
            projection: ProjectionExprs::from_indices(columns, &self.schema),
            table_schema: TableSchema::from(Arc::clone(&self.schema)),
            predicate: None,
            filters_rows: false,
            row_number: None,
            rows: Some(rows),
            sizes: self.sizes,
            batch_size: FETCHED_BATCH,
            texts: Texts::default(),
            partition: 0,
            metrics: ExecutionPlanMetricsSet::new(),
            scanned: Some(scanned.clone()),
        };
        let batches = stream::once(open(store, file.to_string(), opener)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

async fn open(
    store: Arc<dyn ObjectStore>,
    file: String,
    opener: StreamOpener,
) -> Result<stream::BoxStream<'static, Result<datafusion::arrow::array::RecordBatch>>> {
    let gone = |error: object_store::Error| match error {
        object_store::Error::NotFound { .. } => exec_datafusion_err!(
            "fetching rows of {file}: the file is gone; it was there when the query began, run the query again"
        ),
        error => DataFusionError::from(error),
    };
    let path = Path::parse(&file).map_err(|e| DataFusionError::External(Box::new(e)))?;
    let meta = store.head(&path).await.map_err(gone)?;
    opener.open(PartitionedFile::from(meta))?.await
}
