//! Which executor gets which task.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::config::BallistaConfig;
use ballista_core::execution_plans::{RangeShuffleReaderExec, ShuffleReaderExec};
use ballista_core::serde::protobuf::{AvailableVcores, job_status};
use ballista_core::serde::scheduler::TaskKey;
use ballista_scheduler::cluster::{BoundTask, DistributionPolicy};
use ballista_scheduler::state::execution_graph::{TaskDescription, create_task_info};
use ballista_scheduler::state::execution_stage::RunningStage;
use ballista_scheduler::state::task_manager::JobInfoCache;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{Distribution, ExecutionPlan, ExecutionPlanProperties};

use super::watch::Watch;
use crate::models::ModelsWanted;

/// Gives the tasks of a stage that scores only to executors that have its models, and of those to each its share; all
/// other tasks to whoever asks.
#[derive(Debug, Default)]
pub(crate) struct ByModel {
    /// Set once the scheduler, which has this policy, is there to be watched.
    watch: OnceLock<Weak<Watch>>,
}

impl ByModel {
    /// What the executors have is known from there.
    pub(crate) fn use_states_of(&self, watch: &Arc<Watch>) {
        // It is set once.
        let _ = self.watch.set(Arc::downgrade(watch));
    }
}

#[async_trait]
impl DistributionPolicy for ByModel {
    async fn bind_tasks(
        &self,
        mut budgets: Vec<&mut AvailableVcores>,
        running: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> Result<Vec<BoundTask>> {
        let watch = self.watch.get().and_then(Weak::upgrade);
        let mut bound = vec![];
        for (job, info) in running.iter() {
            if !matches!(info.status, Some(job_status::Status::Running(_))) {
                continue;
            }
            let mut graph = info.execution_graph.write().await;
            let session = graph.session_id().to_string();
            let mut done = vec![];
            while let Some(stage) = graph.fetch_running_stage(&done) {
                done.push(stage.stage_id);
                let wanted = ModelsWanted::by(&stage.plan, stage.session_config.options());
                for budget in &mut budgets {
                    let share = match &watch {
                        Some(watch) => watch.share(&budget.executor_id, &wanted, stage.available_tasks()),
                        None => usize::MAX,
                    };
                    for _ in 0..share {
                        let Some(task) = bind(stage, &session, job, budget) else { break };
                        bound.push(task);
                    }
                }
            }
        }
        Ok(bound)
    }

    fn name(&self) -> &str {
        "by model"
    }
}

/// Binds one task of a stage: what Ballista's own policies do, which it does not let others call.
///
/// A stage with a collapse, where one operator takes the rows of all partitions, is one task with all of them.
fn bind(stage: &mut RunningStage, session: &str, job: &JobId, budget: &mut AvailableVcores) -> Option<BoundTask> {
    if budget.vcores == 0 {
        return None;
    }
    let collapses = collapses(&stage.plan) || unites_collapsed(&stage.plan);
    let partitions = match collapses {
        true => usize::MAX,
        false => (budget.vcores as usize).min(most_partitions(stage)),
    };
    let partitions = stage.pending.next_slice(partitions);
    if partitions.is_empty() {
        return None;
    }
    let vcores = if collapses { 1 } else { partitions.len() as u32 };
    let attempt = partitions.iter().filter_map(|partition| stage.task_failure_numbers.get(*partition)).max();
    let task = stage.task_infos.len();
    let mut info = create_task_info(budget.executor_id.clone(), task);
    info.global_input_partition_ids = partitions.clone();
    info.vcores_consumed = vcores;
    let description = TaskDescription {
        session_id: session.to_string(),
        key: TaskKey { job_id: job.clone(), stage_id: stage.stage_id, task_id: task },
        stage_attempt_num: stage.stage_attempt_num,
        task_attempt: attempt.copied().unwrap_or(0),
        global_input_partition_ids: partitions,
        vcores_consumed: vcores,
        plan: Arc::clone(&stage.plan),
        session_config: Arc::clone(&stage.session_config),
    };
    stage.task_infos.push(info);
    budget.vcores -= vcores.min(budget.vcores);
    Some((budget.executor_id.clone(), description))
}

fn most_partitions(stage: &RunningStage) -> usize {
    let config = stage.session_config.options().extensions.get::<BallistaConfig>();
    config.map(BallistaConfig::max_partitions_per_task).filter(|most| *most > 0).unwrap_or(usize::MAX)
}

/// Whether a union stands above an operator that takes the rows of all partitions of one of its inputs.
///
/// Ballista cuts a plan to the partitions of a task by cutting its scans, and does not cut those below such an operator: of
/// two tasks, one for each input, both would give the rows of both (docs/upstream.md). So they are one task.
fn unites_collapsed(plan: &Arc<dyn ExecutionPlan>) -> bool {
    fn is_collapse(node: &Arc<dyn ExecutionPlan>) -> bool {
        node.is::<CoalescePartitionsExec>()
            || node.is::<SortPreservingMergeExec>()
            || matches!(
                node.input_distribution_requirements().child_distribution(0),
                Some(Distribution::SinglePartition)
            )
    }
    let is_union = |node: &Arc<dyn ExecutionPlan>| node.is::<UnionExec>() || node.is::<InterleaveExec>();
    plan.exists(|node| {
        Ok(is_union(node)
            && node.children().into_iter().any(|child| child.exists(|n| Ok(is_collapse(n))).unwrap_or(true)))
    })
    .unwrap_or(true)
}

/// Whether an operator below the stage's writer gives one partition.
fn collapses(writer: &Arc<dyn ExecutionPlan>) -> bool {
    fn within(node: &Arc<dyn ExecutionPlan>) -> bool {
        if node.is::<ShuffleReaderExec>() || node.is::<RangeShuffleReaderExec>() {
            return false;
        }
        if node.output_partitioning().partition_count() == 1 {
            return true;
        }
        matches!(node.children().as_slice(), [child] if within(child))
    }
    matches!(writer.children().as_slice(), [child] if within(child))
}
