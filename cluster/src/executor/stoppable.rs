//! Scans that end when a task is cancelled.

use std::fmt;
use std::sync::Arc;

use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};
use tamis_planner::{PlannerError, StopSignal};

/// A scan that fails once its task is cancelled. Ballista hands a stage's streams to tasks of their own, which go on when
/// the stage is dropped; what no longer reads does no longer compute.
///
/// It takes the scan's place in the plan, and shows nothing below: metrics are matched with the scheduler's plan by place.
#[derive(Debug)]
struct StoppableScan(Arc<dyn ExecutionPlan>);

/// The plan with stoppable scans.
pub(super) fn stoppable(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| match node.is::<DataSourceExec>() {
        true => Ok(Transformed::yes(Arc::new(StoppableScan(node)) as Arc<dyn ExecutionPlan>)),
        false => Ok(Transformed::no(node)),
    })?;
    Ok(plan.data)
}

impl DisplayAs for StoppableScan {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(format, f)
    }
}

impl ExecutionPlan for StoppableScan {
    fn name(&self) -> &'static str {
        "StoppableScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.0.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("a scan takes no inputs"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let signal = StopSignal::of(context.session_config());
        let input = self.0.execute(partition, context)?;
        let Some(signal) = signal else { return Ok(input) };
        let (schema, stopped) = (input.schema(), signal.stopped());
        // The end that the signal brings must not be taken for the end of the data.
        let end = stream::once(async move {
            match signal.is_stopped() {
                true => Some(Err(PlannerError::Stopped.into())),
                false => None,
            }
        });
        let batches = input.take_until(stopped).chain(end.filter_map(|end| async { end }));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.0.metrics()
    }
}
