//! A query whose parts run on executors.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::{JobId, JobStatusSubscriber};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::models::ModelsWanted;
use crate::scheduler::{Scheduler, Watch};

/// For so long a query waits for the first executor of a cluster that has just begun, or that has lost all.
const FIRST_EXECUTOR: Duration = Duration::from_secs(10);

/// Begins a job of one stage: the tasks of a plan's partitions.
type Submit =
    Box<dyn Fn(Arc<dyn ExecutionPlan>, JobStatusSubscriber) -> BoxFuture<'static, Result<JobId>> + Send + Sync>;
/// Makes a plan into one that can travel.
type Settle = Box<dyn Fn(&Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> + Send + Sync>;

/// What a query has to tell while it runs.
pub(crate) enum News<'a> {
    /// A job has begun for it.
    Job(&'a JobId),
    /// Tasks are begun again.
    Again(&'a str),
}

/// A query whose parts run on executors.
pub(crate) struct Query {
    /// Its text, as far as it is told.
    name: String,
    pub(super) scheduler: Scheduler,
    pub(super) watch: Arc<Watch>,
    wanted: ModelsWanted,
    submit: Submit,
    settle: Settle,
    tell: Box<dyn Fn(News<'_>) + Send + Sync>,
    jobs: Mutex<Vec<JobId>>,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

impl Query {
    pub(crate) fn new(
        name: String,
        scheduler: Scheduler,
        watch: Arc<Watch>,
        wanted: ModelsWanted,
        submit: Submit,
        settle: Settle,
        tell: Box<dyn Fn(News<'_>) + Send + Sync>,
    ) -> Self {
        Self { name, scheduler, watch, wanted, submit, settle, tell, jobs: Mutex::default() }
    }

    /// The jobs that have begun for it, in order.
    pub(crate) fn jobs(&self) -> Vec<JobId> {
        self.jobs.lock().clone()
    }

    /// The plan as it travels: its values known, and nothing of this process in it.
    pub(super) fn settled(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        (self.settle)(plan)
    }

    /// Begins a job: a task for each of the plan's partitions.
    pub(super) async fn begin(&self, plan: Arc<dyn ExecutionPlan>, statuses: JobStatusSubscriber) -> Result<JobId> {
        self.wait_for_executors().await?;
        let tasks = plan.output_partitioning().partition_count();
        let job = (self.submit)(plan, statuses).await?;
        log::info!("job {job} begins: {tasks} tasks of {}", self.name);
        (self.tell)(News::Job(&job));
        self.jobs.lock().push(job.clone());
        Ok(job)
    }

    pub(super) fn tell_again(&self, reason: &str) {
        (self.tell)(News::Again(reason));
    }

    /// Waits until there is an executor that has what the query wants.
    pub(super) async fn wait_for_executors(&self) -> Result<()> {
        let began = tokio::time::Instant::now();
        loop {
            match self.watch.can_run(&self.wanted) {
                Ok(()) => return Ok(()),
                // Executors that are there will not learn the model; one that is not there may come.
                Err(reason) if !self.watch.executors().is_empty() || began.elapsed() > FIRST_EXECUTOR => {
                    return Err(DataFusionError::Execution(reason));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Whether there is an executor that has what the query wants.
    pub(super) fn can_run(&self) -> bool {
        self.watch.can_run(&self.wanted).is_ok()
    }
}
