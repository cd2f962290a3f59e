//! Whether adaptive planning keeps a query whole: before, what it is known to lose; after, whether the stages make up
//! the query.
//!
//! Ballista's adaptive planner plans anew whenever a stage has ended. It was seen to plan a stage a second time that was
//! running, to take the copy for the query's last stage, and to succeed with no rows (docs/upstream.md).

use std::collections::BTreeSet;
use std::sync::Arc;

use ballista_core::execution_plans::{RangeShuffleReaderExec, ShuffleReaderExec};
use ballista_core::serde::protobuf::PartitionLocation;
use ballista_core::serde::protobuf::task_status::Status;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use datafusion::arrow::datatypes::Schema;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::sorts::sort::SortExec;

/// Whether the result is that of the job's last stage, and every other stage was read by one.
pub(super) fn is_whole(graph: &ExecutionGraphBox, result: &[PartitionLocation], schema: &Schema) -> bool {
    let stages = graph.stages();
    let Some(last) = stages.keys().max() else { return false };
    let of_result: BTreeSet<usize> =
        result.iter().filter_map(|part| Some(part.partition_id.as_ref()?.stage_id as usize)).collect();
    let is_last = !result.is_empty() && of_result.iter().all(|stage| stage == last);
    let has_columns = stages.get(last).is_some_and(|stage| has_columns_of(&stage.plan().schema(), schema));
    let mut read = BTreeSet::new();
    for stage in stages.values() {
        add_read(stage.plan(), &mut read);
    }
    is_last && has_columns && stages.keys().all(|stage| stage == last || read.contains(stage))
}

fn has_columns_of(a: &Schema, b: &Schema) -> bool {
    a.fields().len() == b.fields().len()
        && a.fields().iter().zip(b.fields()).all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
}

/// The stages that a plan reads.
fn add_read(plan: &dyn ExecutionPlan, read: &mut BTreeSet<usize>) {
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        read.insert(reader.stage_id);
    }
    if let Some(reader) = plan.downcast_ref::<RangeShuffleReaderExec>() {
        read.insert(reader.stage_id);
    }
    plan.children().into_iter().map(Arc::as_ref).for_each(|child| add_read(child, read));
}

/// Whether a plan needs an order of what a join gives.
///
/// The adaptive planner can push such a sort into the join's input when the stage of that input has run, where it is lost.
pub(super) fn sorts_a_join(plan: &dyn ExecutionPlan) -> bool {
    let needs_order = plan.is::<SortExec>() || plan.required_input_ordering().iter().any(Option::is_some);
    if needs_order && !is_join(plan) && plan.children().into_iter().any(|child| has_join(child.as_ref())) {
        return true;
    }
    plan.children().into_iter().any(|child| sorts_a_join(child.as_ref()))
}

fn has_join(plan: &dyn ExecutionPlan) -> bool {
    is_join(plan) || plan.children().into_iter().any(|child| has_join(child.as_ref()))
}

fn is_join(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<HashJoinExec>()
        || plan.is::<SortMergeJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<CrossJoinExec>()
}

/// The executors that have run a job's tasks.
pub(super) fn executors(graph: &ExecutionGraphBox) -> BTreeSet<String> {
    let tasks = graph.stages().values().filter_map(|stage| stage.task_infos()).flatten();
    let executors = tasks.filter_map(|task| match &task.task_status {
        Status::Running(running) => Some(running.executor_id.clone()),
        Status::Successful(successful) => Some(successful.executor_id.clone()),
        Status::Failed(_) => None,
    });
    executors.collect()
}
