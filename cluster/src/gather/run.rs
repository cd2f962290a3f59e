//! The tasks of a part: begun as one job, and those of them again that are lost with an executor.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ballista_core::JobId;
use ballista_core::serde::protobuf::{JobStatus, job_status};
use ballista_core::serde::scheduler::PartitionLocation;
use ballista_scheduler::state::task_builder::restrict_plan_to_partitions;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use tamis_files::describe::message;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::places::{Place, Places};
use super::query::Query;
use super::spool::{NotFetched, fetch};
use crate::scheduler::{Lost, Scheduler};

/// How often a task is begun again whose executor was lost.
const AGAIN: usize = 3;
/// An error that a lost executor may have caused waits so long for the watch to notice the loss.
const LOSS_IS_NOTICED: Duration = Duration::from_secs(8);
/// How often is looked which tasks have ended: at first, and where nothing has happened for a while.
const LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// The tasks of a part, or of some of its partitions. They end with this.
pub(super) struct Run {
    schema: datafusion::arrow::datatypes::SchemaRef,
    places: Arc<Places>,
    unread: mpsc::UnboundedSender<(usize, String)>,
    _driver: SpawnedTask<()>,
}

impl Run {
    /// Begins the tasks of these partitions of a plan.
    pub(super) fn start(query: Arc<Query>, plan: Arc<dyn ExecutionPlan>, partitions: Vec<usize>) -> Self {
        let (schema, count) = (plan.schema(), plan.output_partitioning().partition_count());
        let places = Arc::new(Places::new(count));
        let (unread, of_readers) = mpsc::unbounded_channel();
        let driver = Driver {
            query,
            plan,
            places: Arc::clone(&places),
            jobs: vec![],
            owner: vec![None; count],
            attempts: vec![0; count],
        };
        let driver = SpawnedTask::spawn(driver.drive(partitions, of_readers));
        Self { schema, places, unread, _driver: driver }
    }

    /// The rows of a partition, when its task has ended.
    pub(super) async fn rows(
        &self,
        partition: usize,
        metrics: &ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        loop {
            let found = self.places.found(partition).await;
            let location = found.map_err(DataFusionError::Execution)?;
            // An executor that stands still keeps a reader waiting far longer than it takes to notice its loss.
            let fetched = tokio::select! {
                biased;
                fetched = fetch(&location, &self.schema, metrics, context) => fetched,
                () = self.places.left(partition, &location) => continue,
            };
            match fetched {
                Ok(rows) => {
                    self.places.set(partition, Place::Read);
                    return Ok(rows);
                }
                Err(NotFetched::NotKept(error)) => return Err(error),
                Err(NotFetched::Lost(error)) => {
                    let executor = &location.executor_meta;
                    let reason = format!("reading rows from {}:{}: {error}", executor.host, executor.port);
                    log::info!("job {}, task {partition}: {reason}", location.partition_id.job_id);
                    self.places.set(partition, Place::Awaited);
                    // The driver has ended only with an error, which `found` tells.
                    let _ = self.unread.send((partition, reason));
                }
            }
        }
    }
}

/// A job that runs some of the tasks, until nobody wants them any more.
struct Job {
    id: JobId,
    /// Which partition of the part each of its own is.
    partitions: Vec<usize>,
    /// How many of its tasks were known to have ended, and how many places of rows it had told.
    known: usize,
    told: usize,
    /// The first so many places of an executor's that was lost are none any more. Should it come back, later ones are.
    gone: HashMap<String, usize>,
    is_over: bool,
    scheduler: Scheduler,
}

impl Drop for Job {
    fn drop(&mut self) {
        let (scheduler, job) = (Arc::clone(&self.scheduler), self.id.clone());
        if self.is_over {
            log::debug!("job {job}: its rows are removed");
            scheduler.clean_up(job);
            return;
        }
        tokio::spawn(async move {
            log::info!("job {job} is cancelled");
            if let Err(error) = scheduler.cancel(job.clone()).await {
                log::warn!("cancelling job {job}: {error}");
            }
        });
    }
}

/// What sees to it that all tasks end.
struct Driver {
    query: Arc<Query>,
    plan: Arc<dyn ExecutionPlan>,
    places: Arc<Places>,
    jobs: Vec<Job>,
    /// Which job runs a partition.
    owner: Vec<Option<usize>>,
    /// How often a partition's executor was lost.
    attempts: Vec<usize>,
}

impl Driver {
    async fn drive(mut self, partitions: Vec<usize>, mut unread: mpsc::UnboundedReceiver<(usize, String)>) {
        // From before the jobs begin: a loss in between is not missed.
        let mut losses = self.query.watch.subscribe();
        let (sender, mut statuses) = mpsc::channel(256);
        let ended = async {
            // What this process has put into the plan is known by now.
            self.plan = self.query.settled(&self.plan)?;
            self.begin(partitions, &sender).await?;
            let mut pause = LOOKS.0;
            loop {
                if self.look().await {
                    pause = LOOKS.0;
                }
                tokio::select! {
                    Some(status) = statuses.recv() => self.told(status, &mut losses, &sender).await?,
                    loss = losses.recv() => match loss {
                        Ok(loss) => self.lose(loss, &sender).await?,
                        // So many at once that some were not heard: what cannot be read is begun again.
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => {
                            return Err(DataFusionError::Execution("the scheduler ends".into()));
                        }
                    },
                    Some((partition, reason)) = unread.recv() => self.again(vec![partition], &reason, &sender).await?,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LOOKS.1),
                }
            }
        };
        let ended: Result<()> = ended.await;
        if let Err(error) = ended {
            self.places.fail(message(&error));
        }
    }

    /// Begins tasks for these partitions.
    async fn begin(&mut self, partitions: Vec<usize>, statuses: &mpsc::Sender<JobStatus>) -> Result<()> {
        if partitions.is_empty() {
            return Ok(());
        }
        let plan = match partitions.len() == self.owner.len() {
            true => Arc::clone(&self.plan),
            false => restrict_plan_to_partitions(Arc::clone(&self.plan), &partitions)?,
        };
        let id = self.query.begin(plan, statuses.clone()).await?;
        for partition in &partitions {
            if let Some(owner) = self.owner.get_mut(*partition) {
                *owner = Some(self.jobs.len());
            }
        }
        let scheduler = Arc::clone(&self.query.scheduler);
        self.jobs.push(Job { id, partitions, known: 0, told: 0, gone: HashMap::new(), is_over: false, scheduler });
        Ok(())
    }

    /// Begins tasks again, unless one of them has been begun too often.
    async fn again(&mut self, partitions: Vec<usize>, reason: &str, statuses: &mpsc::Sender<JobStatus>) -> Result<()> {
        self.count(&partitions, reason)?;
        self.begin(partitions, statuses).await
    }

    /// Notes that the executor of these partitions was lost.
    fn count(&mut self, partitions: &[usize], reason: &str) -> Result<()> {
        if partitions.is_empty() {
            return Ok(());
        }
        self.query.tell_again(reason);
        for partition in partitions {
            let Some(attempts) = self.attempts.get_mut(*partition) else { continue };
            *attempts += 1;
            if *attempts > AGAIN {
                return Err(DataFusionError::Execution(format!(
                    "a task was begun {attempts} times, and each time its executor was lost, the last time: {reason}"
                )));
            }
        }
        Ok(())
    }

    /// Looks which tasks have ended; whether there are new ones.
    async fn look(&mut self) -> bool {
        let mut found = vec![];
        for (at, job) in self.jobs.iter_mut().enumerate().filter(|(_, job)| !job.is_over) {
            let Some(ended) = job.scheduler.ended(&job.id, job.known).await else { continue };
            (job.known, job.told) = (ended.count, ended.locations.len());
            found.push((at, ended.locations));
        }
        let is_new = !found.is_empty();
        found.into_iter().for_each(|(at, locations)| self.place(at, locations));
        is_new
    }

    /// Notes where the rows of a job's tasks are.
    fn place(&self, at: usize, locations: Vec<PartitionLocation>) {
        let Some(job) = self.jobs.get(at) else { return };
        for (told, location) in locations.into_iter().enumerate() {
            let Some(&partition) = job.partitions.get(location.partition_id.partition_id) else { continue };
            let is_ours = self.owner.get(partition) == Some(&Some(at));
            if is_ours
                && job.gone.get(&location.executor_meta.id).is_none_or(|gone| told >= *gone)
                && self.places.is_awaited(partition)
            {
                self.places.set(partition, Place::At(Arc::new(location)));
            }
        }
    }

    /// The partitions of a job whose rows are nowhere yet.
    fn awaited(&self, at: usize) -> Vec<usize> {
        let awaited = self.places.which(|place| matches!(place, Place::Awaited));
        awaited.into_iter().filter(|partition| self.owner.get(*partition) == Some(&Some(at))).collect()
    }

    /// A job's end.
    async fn told(
        &mut self,
        status: JobStatus,
        losses: &mut broadcast::Receiver<Lost>,
        statuses: &mpsc::Sender<JobStatus>,
    ) -> Result<()> {
        let Some(at) = self.jobs.iter().position(|job| job.id.as_str() == status.job_id && !job.is_over) else {
            return Ok(());
        };
        match status.status {
            Some(job_status::Status::Successful(done)) => {
                self.jobs[at].is_over = true;
                let mut locations = vec![];
                for location in done.partition_location {
                    let location: PartitionLocation =
                        location.try_into().map_err(|e| DataFusionError::External(Box::new(e)))?;
                    locations.push(location);
                }
                let with_rows: HashSet<usize> = locations.iter().map(|one| one.partition_id.partition_id).collect();
                if let Some(untold) = (0..self.jobs[at].partitions.len()).find(|own| !with_rows.contains(own)) {
                    return Err(DataFusionError::Execution(format!(
                        "job {} has ended and does not tell where the rows of its task {untold} are: a defect of the scheduler",
                        status.job_id
                    )));
                }
                self.place(at, locations);
                // All that it told of the others were on executors that are lost.
                let gone = self.awaited(at);
                self.again(gone, "an executor was lost before its rows were read", statuses).await
            }
            Some(job_status::Status::Failed(failed)) => {
                self.jobs[at].is_over = true;
                if !is_of_a_loss(&failed.error) {
                    return Err(DataFusionError::Execution(readable(&failed.error)));
                }
                let loss = async {
                    loop {
                        match losses.recv().await {
                            Ok(loss) => return Some(loss),
                            Err(RecvError::Lagged(_)) => {}
                            Err(RecvError::Closed) => return None,
                        }
                    }
                };
                match tokio::time::timeout(LOSS_IS_NOTICED, loss).await {
                    Ok(Some(loss)) => {
                        let reason = loss.reason.clone();
                        let awaited = self.awaited(at);
                        self.lose(loss, statuses).await?;
                        self.again(awaited, &reason, statuses).await
                    }
                    _ => Err(DataFusionError::Execution(readable(&failed.error))),
                }
            }
            _ => Ok(()),
        }
    }

    /// An executor is lost, or what it ran for a job.
    async fn lose(&mut self, loss: Lost, statuses: &mpsc::Sender<JobStatus>) -> Result<()> {
        if let Some(id) = &loss.job {
            let Some(at) = self.jobs.iter().position(|job| job.id.as_str() == id && !job.is_over) else {
                return Ok(());
            };
            let awaited = self.awaited(at);
            // What it has ended stays where it is until it is read; what it still runs is told apart by its job.
            self.jobs[at].is_over = true;
            let _ = self.query.scheduler.cancel(self.jobs[at].id.clone()).await;
            return self.again(awaited, &loss.reason, statuses).await;
        }
        for job in self.jobs.iter_mut().filter(|job| !job.is_over) {
            job.gone.insert(loss.executor.clone(), job.told);
        }
        let there = self
            .places
            .which(|place| matches!(place, Place::At(location) if location.executor_meta.id == loss.executor));
        there.iter().for_each(|partition| self.places.set(*partition, Place::Awaited));
        // What its jobs still run, Ballista begins again by itself; of the others nobody would.
        let is_over = |partition: &usize| {
            let owner = self.owner.get(*partition).copied().flatten();
            owner.and_then(|at| self.jobs.get(at)).is_some_and(|job| job.is_over)
        };
        let (gone, mut begun_again): (Vec<usize>, Vec<usize>) = there.into_iter().partition(is_over);
        for (at, job) in self.jobs.iter().enumerate().filter(|(_, job)| !job.is_over) {
            let running = job.scheduler.running_on(&job.id, &loss.executor).await;
            let running = running.into_iter().filter_map(|own| job.partitions.get(own).copied());
            begun_again.extend(running.filter(|partition| self.owner.get(*partition) == Some(&Some(at))));
        }
        if gone.is_empty() && begun_again.is_empty() && self.query.can_run() {
            return Ok(());
        }
        log::warn!("{} tasks begin again: {}", gone.len() + begun_again.len(), loss.reason);
        self.count(&begun_again, &loss.reason)?;
        if !self.jobs.iter().all(|job| job.is_over) {
            self.query.wait_for_executors().await?;
        }
        self.again(gone, &loss.reason, statuses).await
    }
}

/// What a task said of its failure, out of what Ballista made of it.
fn readable(error: &str) -> String {
    const SIGNS: [&str; 2] = ["Execution(\"", "error: \""];
    for sign in SIGNS {
        let Some((_, said)) = error.split_once(sign) else { continue };
        let mut text = String::new();
        let mut rest = said.chars();
        while let Some(next) = rest.next() {
            match next {
                '"' => break,
                '\\' => match rest.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(escaped) => text.push(escaped),
                    None => {}
                },
                next => text.push(next),
            }
        }
        return text;
    }
    error.to_string()
}

/// Whether an error may come of an executor that is gone: of reading what it had, or of its own end.
fn is_of_a_loss(error: &str) -> bool {
    let error = error.to_lowercase();
    ["fetch", "connect", "transport", "cancelled", "executor", "lost", "broken pipe", "h2 protocol", "without a word"]
        .iter()
        .any(|sign| error.contains(sign))
}
