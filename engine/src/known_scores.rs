//! `tamis_scores('model')`: what the score cache knows of a model, as a table.

use std::any::Any;
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
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tamis_planner::codec::{Decoder, Encoder, NodeCodec, decode_message};
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

/// Encodes and decodes scans of what a cache knows. They are run where the plan is: each executor tells of the cache that it
/// looks into.
#[derive(Debug, Default)]
pub(crate) struct KnownScoresNodes;

#[derive(Clone, PartialEq, Message)]
struct KnownScoresMessage {
    #[prost(string, optional, tag = "1")]
    model: Option<String>,
    #[prost(uint64, repeated, tag = "2")]
    columns: Vec<u64>,
}

impl NodeCodec for KnownScoresNodes {
    fn kind(&self) -> &'static str {
        "known scores"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, _wire: &Encoder<'_>) -> Result<Option<Vec<u8>>> {
        let Some(exec) = node.downcast_ref::<StreamingTableExec>() else { return Ok(None) };
        let [partition] = exec.partitions().as_slice() else { return Ok(None) };
        let Some(OfModel { model, .. }) = (partition.as_ref() as &dyn Any).downcast_ref() else { return Ok(None) };
        let all = KnownScores::schema();
        let columns = exec.schema().fields().iter().map(|field| Ok(all.index_of(field.name())? as u64));
        let columns = columns.collect::<Result<_>>()?;
        Ok(Some(KnownScoresMessage { model: model.clone(), columns }.encode_to_vec()))
    }

    fn decode(
        &self,
        bytes: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        wire: &Decoder<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let message: KnownScoresMessage = decode_message(self.kind(), bytes)?;
        let options = Arc::clone(wire.context().session_config().options());
        let scores: Arc<dyn PartitionStream> = Arc::new(OfModel { model: message.model, options });
        let columns: Vec<usize> = message.columns.into_iter().map(|column| column as usize).collect();
        let schema = Arc::clone(KnownScores::schema());
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![scores], Some(&columns), vec![], false, None)?))
    }
}
