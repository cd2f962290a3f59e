//! Where the text is that Parquet's reader has refused.

use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileOpener;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::{CacheManager, CacheManagerConfig};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr_adapter::DefaultPhysicalExprAdapterFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;

use super::named::Explain;
use super::stream::{Sizes, StreamOpener, Texts};

/// Rows that are looked through at once.
const ROWS: usize = 1024;

/// Reads the texts of a file once more, in the way that tells where they are none.
#[derive(Debug)]
pub(super) struct NotUtf8 {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) table: TableSchema,
}

impl Explain for NotUtf8 {
    fn explain<'a>(
        &'a self,
        file: &'a PartitionedFile,
        error: &DataFusionError,
    ) -> BoxFuture<'a, Option<DataFusionError>> {
        let is_about_text = error.to_string().contains("non UTF-8");
        Box::pin(async move {
            match is_about_text {
                true => self.look(file.clone()).await.err(),
                false => None,
            }
        })
    }
}

impl NotUtf8 {
    /// An error that tells the place of the first text of the file that is none.
    async fn look(&self, mut file: PartitionedFile) -> Result<()> {
        let schema = self.table.file_schema();
        // A text may lie in a list or a struct: all columns without byte strings are read.
        let places = (0..schema.fields().len()).filter(|place| !schema.field(*place).data_type().is_binary());
        let places: Vec<usize> = places.collect();
        let caches = CacheManager::try_new(&CacheManagerConfig::default())?;
        let opener = StreamOpener {
            store: Arc::clone(&self.store),
            metadata_cache: caches.get_file_metadata_cache(),
            adapters: Arc::new(DefaultPhysicalExprAdapterFactory),
            projection: ProjectionExprs::from_indices(&places, schema),
            table_schema: TableSchema::from(Arc::clone(schema)),
            predicate: None,
            filters_rows: false,
            row_number: None,
            rows: None,
            sizes: Sizes::default(),
            batch_size: ROWS,
            texts: Texts::Refused,
            partition: 0,
            metrics: ExecutionPlanMetricsSet::new(),
            scanned: None,
        };
        file.range = None;
        opener.open(file)?.await?.try_for_each(|_| std::future::ready(Ok(()))).await
    }
}
