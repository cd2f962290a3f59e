//! `tamis_scores('model')`: what the score cache knows of a model, as a table.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, TryStreamExt, stream};
use tamis_udfs::cache::{self, KnownScores};

/// The function's name in SQL.
pub(crate) const NAME: &str = "tamis_scores";

/// The family of functions whose models the names are of.
const FAMILY: &str = "unifilter";

/// What earlier statements of this process have scored may take so long to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// The table function. It looks at the cache when the query runs: planning computes no fingerprint.
#[derive(Debug)]
pub(crate) struct TamisScores;

impl TableFunctionImpl for TamisScores {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let model = match args.exprs() {
            [] => None,
            [Expr::Literal(ScalarValue::Utf8(Some(model)) | ScalarValue::Utf8View(Some(model)), _)] => {
                Some(model.clone())
            }
            _ => {
                return plan_err!(
                    "{NAME} takes a model's name or the first digits of its fingerprint, as a string literal"
                );
            }
        };
        let options = args.session().config_options().clone();
        let scores: Arc<dyn PartitionStream> = Arc::new(OfModel { model, options: Arc::new(options) });
        Ok(Arc::new(StreamingTable::try_new(Arc::clone(KnownScores::schema()), vec![scores])?))
    }
}

/// The scores of one model.
#[derive(Debug)]
struct OfModel {
    model: Option<String>,
    options: Arc<ConfigOptions>,
}

impl PartitionStream for OfModel {
    fn schema(&self) -> &SchemaRef {
        KnownScores::schema()
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (model, options) = (self.model.clone(), Arc::clone(&self.options));
        let scores = async {
            let open = tokio::task::spawn_blocking(move || {
                cache::flush(FLUSH);
                cache::known_scores(FAMILY, model.as_deref(), &options)
            });
            open.await.map_err(|e| DataFusionError::External(Box::new(e)))?
        };
        let batches = stream::once(scores).map_ok(|scores| stream::iter(scores).map_err(DataFusionError::from));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(KnownScores::schema()), batches.try_flatten().boxed()))
    }
}
