//! Ballista's scheduler, and what is asked of it.

use std::collections::HashMap;
use std::sync::Arc;

use ballista_core::error::Result;
use ballista_core::serde::protobuf::ExecutorStoppedParams;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::task_status::Status;
use ballista_core::serde::scheduler::PartitionLocation;
use ballista_core::{JobId, JobStatusSubscriber};
use ballista_scheduler::scheduler_server::SchedulerServer;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use ballista_scheduler::state::execution_stage::TaskInfo;
use ballista_scheduler::state::task_manager::JobInfoCache;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;

use crate::wire::{LogicalBytes, PhysicalBytes};

/// Ballista's scheduler.
pub(crate) type BallistaScheduler = SchedulerServer<LogicalBytes, PhysicalBytes>;

/// What is asked of Ballista's scheduler.
///
/// Its methods give futures by hand: to see that one of `async_trait`'s may move between threads, the compiler would look through
/// the scheduler's state once more for each.
pub(crate) trait Scheduling: Send + Sync {
    /// Begins a job that is one stage: the plan as it is, each of its partitions a task.
    fn submit<'a>(
        &'a self,
        name: &'a str,
        context: Arc<SessionContext>,
        plan: Arc<dyn ExecutionPlan>,
        statuses: JobStatusSubscriber,
    ) -> BoxFuture<'a, Result<JobId>>;

    /// Which tasks of a running job have ended, if their number is not the one that is known.
    fn ended<'a>(&'a self, job: &'a JobId, known: usize) -> BoxFuture<'a, Option<Ended>>;

    /// The partitions of a running job whose tasks run on an executor.
    fn running_on<'a>(&'a self, job: &'a JobId, executor: &'a str) -> BoxFuture<'a, Vec<usize>>;

    /// Ends a job.
    fn cancel(&self, job: JobId) -> BoxFuture<'_, Result<()>>;

    /// The jobs that run.
    fn running(&self) -> Arc<HashMap<JobId, JobInfoCache>>;

    /// Forgets an executor, and tells it so if it can be reached.
    fn give_up<'a>(&'a self, executor: &'a str, reason: &'a str) -> BoxFuture<'a, ()>;

    /// Removes what executors hold of a job.
    fn clean_up(&self, job: JobId);
}

/// The tasks of a job that have ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How many.
    pub(crate) count: usize,
    /// Where their rows are, those of tasks that were run again last.
    pub(crate) locations: Vec<PartitionLocation>,
}

fn tasks(graph: &ExecutionGraphBox) -> impl Iterator<Item = &TaskInfo> {
    graph.stages().values().filter_map(|stage| stage.task_infos()).flatten()
}

/// Ballista's scheduler, for whoever asks something of it.
pub(crate) type Scheduler = Arc<dyn Scheduling>;

impl Scheduling for BallistaScheduler {
    fn submit<'a>(
        &'a self,
        name: &'a str,
        context: Arc<SessionContext>,
        plan: Arc<dyn ExecutionPlan>,
        statuses: JobStatusSubscriber,
    ) -> BoxFuture<'a, Result<JobId>> {
        Box::pin(async move { self.submit_physical_plan(name, context, plan, Some(statuses)).await })
    }

    fn ended<'a>(&'a self, job: &'a JobId, known: usize) -> BoxFuture<'a, Option<Ended>> {
        Box::pin(async move {
            let running = self.running();
            let graph = running.get(job)?.execution_graph.read().await;
            let has_ended = |task: &&TaskInfo| matches!(task.task_status, Status::Successful(_));
            let count = tasks(&graph).filter(has_ended).count();
            (count != known).then(|| Ended { count, locations: graph.output_locations() })
        })
    }

    fn running_on<'a>(&'a self, job: &'a JobId, executor: &'a str) -> BoxFuture<'a, Vec<usize>> {
        Box::pin(async move {
            let running = self.running();
            let Some(info) = running.get(job) else { return vec![] };
            let graph = info.execution_graph.read().await;
            let is_there =
                |task: &&TaskInfo| matches!(&task.task_status, Status::Running(at) if at.executor_id == executor);
            tasks(&graph).filter(is_there).flat_map(|task| task.global_input_partition_ids.clone()).collect()
        })
    }

    fn cancel(&self, job: JobId) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.cancel_job(job))
    }

    fn running(&self) -> Arc<HashMap<JobId, JobInfoCache>> {
        self.state.task_manager.get_running_job_cache()
    }

    fn give_up<'a>(&'a self, executor: &'a str, reason: &'a str) -> BoxFuture<'a, ()> {
        let executors = &self.state.executor_manager;
        Box::pin(async move {
            // Ballista begins its tasks again elsewhere.
            let stopped = ExecutorStoppedParams { executor_id: executor.to_string(), reason: reason.to_string() };
            if let Err(error) = self.executor_stopped(tonic::Request::new(stopped)).await {
                log::debug!("executor {executor}: {error}");
            }
            executors.stop_executor(executor, reason.to_string()).await;
        })
    }

    fn clean_up(&self, job: JobId) {
        self.state.executor_manager.clean_up_job_data(job);
    }
}
