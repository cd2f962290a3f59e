//! `EXPLAIN ANALYZE` of a query that a cluster has run: its stages with what their operators have counted.

use std::fmt::Write;

use ballista_scheduler::display::format_stage_metrics;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use ballista_scheduler::state::execution_stage::ExecutionStage;
use datafusion::common::Result;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::displayable;
use datafusion::physical_plan::metrics::MetricsSet;

use crate::executor::received;

/// The stages of a job.
pub(super) fn report(job: &str, graph: Option<&ExecutionGraphBox>) -> String {
    let Some(graph) = graph else { return format!("job {job}: what its stages have counted is no longer known") };
    let mut stages: Vec<_> = graph.stages().iter().collect();
    stages.sort_by_key(|(id, _)| **id);
    let mut report = String::new();
    for (id, stage) in stages {
        // Writing to a String cannot fail.
        let _ = match stage {
            ExecutionStage::Successful(stage) => {
                let metrics: Vec<MetricsSet> = stage.stage_metrics.iter().map(received).collect();
                let plan = format_stage_metrics(stage.plan.as_ref(), &metrics);
                writeln!(report, "stage {id}, {} tasks:\n{}", stage.task_infos.len(), plan.trim_end())
            }
            stage => {
                let plan = displayable(stage.plan()).indent(false).to_string();
                writeln!(report, "stage {id} ({}):\n{}", stage.variant_name(), plan.trim_end())
            }
        };
    }
    report
}

/// A query that gives the report, in the columns of `EXPLAIN ANALYZE`.
pub(super) fn rows(report: String) -> Result<LogicalPlan> {
    LogicalPlanBuilder::empty(true)
        .project(vec![lit("Plan with Metrics").alias("plan_type"), lit(report).alias("plan")])?
        .build()
}
