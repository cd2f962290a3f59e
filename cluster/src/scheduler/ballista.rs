//! Ballista's scheduler, and what is asked of it.

use std::collections::HashMap;
use std::sync::Arc;

use ballista_core::error::Result;
use ballista_core::{JobId, JobStatusSubscriber};
use ballista_scheduler::scheduler_server::SchedulerServer;
use ballista_scheduler::state::task_manager::JobInfoCache;
use datafusion::logical_expr::LogicalPlan;
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
    /// Begins a job.
    fn submit<'a>(
        &'a self,
        name: &'a str,
        context: Arc<SessionContext>,
        plan: LogicalPlan,
        statuses: JobStatusSubscriber,
    ) -> BoxFuture<'a, Result<JobId>>;

    /// Ends a job.
    fn cancel(&self, job: JobId) -> BoxFuture<'_, Result<()>>;

    /// The jobs that run.
    fn running(&self) -> Arc<HashMap<JobId, JobInfoCache>>;

    /// Forgets an executor, and tells it so if it can be reached.
    fn give_up<'a>(&'a self, executor: &'a str, reason: &'a str) -> BoxFuture<'a, ()>;

    /// Removes what executors hold of a job.
    fn clean_up(&self, job: JobId);
}

/// Ballista's scheduler, for whoever asks something of it.
pub(crate) type Scheduler = Arc<dyn Scheduling>;

impl Scheduling for BallistaScheduler {
    fn submit<'a>(
        &'a self,
        name: &'a str,
        context: Arc<SessionContext>,
        plan: LogicalPlan,
        statuses: JobStatusSubscriber,
    ) -> BoxFuture<'a, Result<JobId>> {
        Box::pin(async move { self.submit_job(name, context, &plan, Some(statuses)).await })
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
            if let Err(error) = executors.remove_executor(executor, Some(reason.to_string())).await {
                log::debug!("executor {executor}: {error}");
            }
            executors.stop_executor(executor, reason.to_string()).await;
        })
    }

    fn clean_up(&self, job: JobId) {
        self.state.executor_manager.clean_up_job_data(job);
    }
}
