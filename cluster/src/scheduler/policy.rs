//! Which executor gets which task.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::protobuf::{AvailableVcores, job_status};
use ballista_core::serde::scheduler::TaskKey;
use ballista_scheduler::cluster::{BoundTask, DistributionPolicy};
use ballista_scheduler::state::execution_graph::{TaskDescription, create_task_info};
use ballista_scheduler::state::execution_stage::RunningStage;
use ballista_scheduler::state::task_manager::JobInfoCache;
use datafusion::error::Result;

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

/// Binds one partition of a stage as a task: what Ballista's own policies do, which it does not let others call.
fn bind(stage: &mut RunningStage, session: &str, job: &JobId, budget: &mut AvailableVcores) -> Option<BoundTask> {
    if budget.vcores == 0 {
        return None;
    }
    let partitions = stage.pending.next_slice(1);
    let &partition = partitions.first()?;
    let task = stage.task_infos.len();
    let mut info = create_task_info(budget.executor_id.clone(), task);
    info.global_input_partition_ids = partitions.clone();
    info.vcores_consumed = 1;
    let description = TaskDescription {
        session_id: session.to_string(),
        key: TaskKey { job_id: job.clone(), stage_id: stage.stage_id, task_id: task },
        stage_attempt_num: stage.stage_attempt_num,
        task_attempt: stage.task_failure_numbers.get(partition).copied().unwrap_or(0),
        global_input_partition_ids: partitions,
        vcores_consumed: 1,
        plan: Arc::clone(&stage.plan),
        session_config: Arc::clone(&stage.session_config),
    };
    stage.task_infos.push(info);
    budget.vcores -= 1;
    Some((budget.executor_id.clone(), description))
}
