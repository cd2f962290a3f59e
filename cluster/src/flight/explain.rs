//! `EXPLAIN ANALYZE` of a query that a cluster has run: what this process did, and what its tasks did.

use std::fmt::Write;
use std::sync::Arc;

use ballista_scheduler::display::format_stage_metrics;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use ballista_scheduler::state::execution_stage::ExecutionStage;
use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{ExecutionPlan, displayable};

use crate::executor::received;

/// What a plan's nodes have counted that ran in this process.
pub(super) fn here(plan: &dyn ExecutionPlan) -> String {
    format!("here:\n{}", DisplayableExecutionPlan::with_metrics(plan).indent(false))
}

/// What the tasks of a job have counted.
pub(super) fn tasks(job: &str, graph: Option<&ExecutionGraphBox>) -> String {
    let Some(graph) = graph else { return format!("job {job}: what its tasks have counted is no longer known\n") };
    let mut report = String::new();
    for stage in graph.stages().values() {
        // Writing to a String cannot fail.
        let _ = match stage {
            ExecutionStage::Successful(stage) => {
                let metrics: Vec<MetricsSet> = stage.stage_metrics.iter().map(received).collect();
                let plan = format_stage_metrics(stage.plan.as_ref(), &metrics);
                writeln!(report, "job {job}, {} tasks:\n{}", stage.task_infos.len(), plan.trim_end())
            }
            stage => {
                let plan = displayable(stage.plan()).indent(false).to_string();
                writeln!(report, "job {job} ({}):\n{}", stage.variant_name(), plan.trim_end())
            }
        };
    }
    report
}

/// The report in the columns of `EXPLAIN ANALYZE`.
pub(super) fn rows(report: String, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = vec!["Plan with Metrics".to_string(), report].into_iter();
    let columns = columns.map(|text| Arc::new(StringArray::from(vec![text])) as _).collect();
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
