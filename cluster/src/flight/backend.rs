//! Running queries on the cluster, and again when an executor is lost.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::{BallistaError, Result};
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::{JobStatus, PartitionLocation, job_status};
use ballista_flight_sql::{QueryBackend, QueryResult};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use tamis_engine::counts::rows_to_scan;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::explain;
use super::request::RequestInfo;
use super::sessions::Sessions;
use super::wholeness;
use crate::models::ModelsWanted;
use crate::opaque::Opaque;
use crate::scheduler::{Catalog, Lost, Scheduler, Watch};

/// How often a query is begun again when executors that it has used are lost.
const AGAIN: usize = 3;
/// An error that a lost executor may have caused waits so long for the watch to notice the loss.
const LOSS_IS_NOTICED: Duration = Duration::from_secs(8);
/// A job is named by its statement, up to so many characters.
const LONGEST_NAME: usize = 200;
/// For so long a query waits for the first executor of a cluster that has just begun.
const FIRST_EXECUTOR: Duration = Duration::from_secs(10);

/// Ballista's scheduler as what runs the queries of clients.
pub(super) struct Backend {
    scheduler: Scheduler,
    watch: Arc<Watch>,
    catalog: Opaque<Catalog>,
    sessions: Opaque<Sessions>,
}

impl Backend {
    pub(super) fn new(scheduler: Scheduler, watch: Arc<Watch>, catalog: Arc<Catalog>, sessions: Arc<Sessions>) -> Self {
        Self { scheduler, watch, catalog: catalog.into(), sessions: sessions.into() }
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Runs a query, or explains how it ran.
    fn execute_query<'a>(
        &'a self,
        name: &'a str,
        context: Arc<SessionContext>,
        plan: LogicalPlan,
    ) -> BoxFuture<'a, Result<QueryResult>> {
        Box::pin(async move {
            let Some(_running) = self.watch.begin_query() else {
                return Err(BallistaError::General("this server is about to end and takes no more queries".into()));
            };
            if !is_adaptive(&context) {
                return Err(BallistaError::General(
                    "ballista.planner.adaptive.enabled is off: without adaptive execution the loss of an executor can lose \
                     rows; SET ballista.planner.adaptive.enabled = true"
                        .into(),
                ));
            }
            // A prepared statement comes without its text.
            let request = RequestInfo::current();
            let name =
                request.as_ref().map(|request| request.sql.as_str()).filter(|sql| !sql.is_empty()).unwrap_or(name);
            let name: String =
                name.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_NAME).collect();
            let name = name.as_str();
            match &plan {
                LogicalPlan::Analyze(analyze) => {
                    let done = self.run(name, &context, &analyze.input).await?;
                    let graph = self.watch.graph(done.job.as_str()).await;
                    self.scheduler.clean_up(done.job.clone());
                    let report = explain::report(done.job.as_str(), graph.as_ref());
                    let rows = explain::rows(report)?;
                    Ok(self.run(name, &context, &rows).await?.into())
                }
                plan => Ok(self.run(name, &context, plan).await?.into()),
            }
        })
    }

    /// Runs a plan, several times if need be.
    async fn run(&self, name: &str, context: &Arc<SessionContext>, plan: &LogicalPlan) -> Result<Done> {
        let planned = context.state().create_physical_plan(plan).await?;
        let wanted = ModelsWanted::by(&planned, context.copied_config().options());
        self.wait_for_executors(&wanted).await?;
        let request = RequestInfo::current();
        let query = request.as_ref().and_then(|request| request.query.clone());
        let mut losses = vec![];
        let mut context = Arc::clone(context);
        if wholeness::sorts_a_join(planned.as_ref()) {
            context = with_static_plan(&context);
        }
        loop {
            // From before the job begins: a loss in between is not missed.
            let mut lost = self.watch.subscribe();
            let (sender, statuses) = mpsc::channel(256);
            let job = self.scheduler.submit(name, Arc::clone(&context), plan.clone(), sender).await?;
            log::info!("job {job} begins: {name}");
            let cancelled = CancelOnDrop { scheduler: Arc::clone(&self.scheduler), job: Some(job.clone()) };
            if let (Some(query), Some(request)) = (&query, &request) {
                let rows = rows_to_scan(planned.as_ref());
                self.sessions.update_query(query, |state| {
                    state.session.clone_from(&request.session);
                    state.rows = rows;
                    state.jobs.push(job.to_string());
                });
            }
            let outcome = match self.wait(&job, statuses, &mut lost, &wanted).await {
                Ok(Outcome::Done(partitions)) => self.look_through(&job, &context, &planned, partitions).await,
                Ok(outcome) => outcome,
                Err(error) => {
                    cancelled.keep();
                    return Err(error);
                }
            };
            match outcome {
                Outcome::Done(partitions) => {
                    cancelled.keep();
                    if let Some(request) = &request {
                        request.set_job(job.as_str());
                    }
                    return Ok(Done { job, schema: planned.schema(), partitions });
                }
                Outcome::NotWhole if !is_adaptive(&context) => {
                    return Err(BallistaError::General(format!(
                        "job {job} ended without its last stage; this is a defect of the scheduler"
                    )));
                }
                Outcome::NotWhole => {
                    cancelled.keep();
                    log::warn!("job {job}: its adaptive plan has lost a stage; it begins again with a plan that stays");
                    self.scheduler.clean_up(job);
                    context = with_static_plan(&context);
                }
                Outcome::Lost(reason) => {
                    drop(cancelled);
                    log::warn!("job {job}: {reason}");
                    losses.push(reason.clone());
                    if losses.len() > AGAIN {
                        return Err(BallistaError::General(format!(
                            "the query was begun {} times, and each time an executor was lost: {}",
                            losses.len(),
                            losses.join("; ")
                        )));
                    }
                    if let Some(query) = &query {
                        self.sessions.update_query(query, |state| state.again = Some(reason));
                    }
                    self.wait_for_executors(&wanted).await?;
                }
            }
        }
    }

    /// Whether a job that has succeeded gives the query's rows.
    ///
    /// Without adaptive planning Ballista can succeed with rows missing when an executor is lost: then each that the job has
    /// used must answer after the job's end.
    async fn look_through(
        &self,
        job: &JobId,
        context: &SessionContext,
        planned: &Arc<dyn ExecutionPlan>,
        partitions: Vec<PartitionLocation>,
    ) -> Outcome {
        // Jobs are kept for an hour; one that is gone cannot be looked at.
        let Some(graph) = self.watch.graph(job.as_str()).await else { return Outcome::Done(partitions) };
        if !wholeness::is_whole(&graph, &partitions, &planned.schema()) {
            return Outcome::NotWhole;
        }
        if is_adaptive(context) {
            return Outcome::Done(partitions);
        }
        match self.watch.answer_now(wholeness::executors(&graph)).await {
            Ok(()) => Outcome::Done(partitions),
            Err(reason) => {
                self.scheduler.clean_up(job.clone());
                Outcome::Lost(reason)
            }
        }
    }

    /// Waits for a job's end, or for the loss of an executor that it has used.
    async fn wait(
        &self,
        job: &JobId,
        mut statuses: mpsc::Receiver<JobStatus>,
        lost: &mut broadcast::Receiver<Lost>,
        wanted: &ModelsWanted,
    ) -> Result<Outcome> {
        loop {
            tokio::select! {
                status = statuses.recv() => match status.map(|status| status.status) {
                    Some(Some(job_status::Status::Successful(done))) => {
                        return Ok(Outcome::Done(done.partition_location));
                    }
                    Some(Some(job_status::Status::Failed(failed))) => {
                        return self.failed(job, failed.error, lost, wanted).await;
                    }
                    Some(_) => {}
                    None => return self.failed(job, "it ended without a word".into(), lost, wanted).await,
                },
                loss = lost.recv() => match loss {
                    Ok(loss) if self.concerns(&loss, job, wanted).await => return Ok(Outcome::Lost(loss.reason)),
                    Ok(_) => {}
                    // So many losses at once that some were not heard: take it that this job is concerned.
                    Err(RecvError::Lagged(_)) => return Ok(Outcome::Lost("several executors were lost".into())),
                    Err(RecvError::Closed) => return Err(BallistaError::General("the scheduler ends".into())),
                },
            }
        }
    }

    /// A job has failed: of itself, or because an executor is lost of which the watch will tell.
    async fn failed(
        &self,
        job: &JobId,
        error: String,
        lost: &mut broadcast::Receiver<Lost>,
        wanted: &ModelsWanted,
    ) -> Result<Outcome> {
        if !is_of_a_loss(&error) {
            return Err(BallistaError::General(readable(&error)));
        }
        let loss = async {
            loop {
                match lost.recv().await {
                    Ok(loss) if !self.concerns(&loss, job, wanted).await => {}
                    Ok(loss) => return loss.reason,
                    Err(_) => return "an executor was lost".into(),
                }
            }
        };
        match tokio::time::timeout(LOSS_IS_NOTICED, loss).await {
            Ok(reason) => Ok(Outcome::Lost(reason)),
            Err(_) => Err(BallistaError::General(readable(&error))),
        }
    }

    async fn concerns(&self, loss: &Lost, job: &JobId, wanted: &ModelsWanted) -> bool {
        match &loss.job {
            Some(of) => of == job.as_str(),
            // Ballista may have forgotten already where its tasks ran; the executor has told. And a job that has used none
            // of the executors waits for ever if none that can run it is left.
            None => {
                loss.jobs.contains(job.as_str())
                    || self.watch.can_run(wanted).is_err()
                    || self.watch.has_used(job.as_str(), &loss.executor).await
            }
        }
    }

    async fn wait_for_executors(&self, wanted: &ModelsWanted) -> Result<()> {
        let began = tokio::time::Instant::now();
        loop {
            match self.watch.can_run(wanted) {
                Ok(()) => return Ok(()),
                // Executors that are there will not learn the model; one that is not there may come.
                Err(reason) if !self.watch.executors().is_empty() || began.elapsed() > FIRST_EXECUTOR => {
                    return Err(BallistaError::General(reason));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

fn is_adaptive(context: &SessionContext) -> bool {
    context.copied_config().ballista_adaptive_query_planner_enabled()
}

/// The same session with plans that are made once.
fn with_static_plan(context: &SessionContext) -> Arc<SessionContext> {
    let state = context.state();
    let id = state.session_id().to_string();
    let config = state.config().clone().with_ballista_adaptive_query_planner(false);
    let state = SessionStateBuilder::new_from_existing(state).with_session_id(id).with_config(config).build();
    Arc::new(SessionContext::new_with_state(state))
}

enum Outcome {
    Done(Vec<PartitionLocation>),
    /// It succeeded, and its stages do not make up the query.
    NotWhole,
    Lost(String),
}

struct Done {
    job: JobId,
    schema: SchemaRef,
    partitions: Vec<PartitionLocation>,
}

impl From<Done> for QueryResult {
    fn from(done: Done) -> Self {
        Self { job_id: done.job.to_string(), schema: done.schema, partitions: done.partitions }
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

/// Cancels a job whose client is gone.
struct CancelOnDrop {
    scheduler: Scheduler,
    job: Option<JobId>,
}

impl CancelOnDrop {
    fn keep(mut self) {
        self.job = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Some(job) = self.job.take() else { return };
        let scheduler = Arc::clone(&self.scheduler);
        tokio::spawn(async move {
            log::info!("job {job} is cancelled");
            if let Err(error) = scheduler.cancel(job.clone()).await {
                log::warn!("cancelling job {job}: {error}");
            }
        });
    }
}

#[async_trait]
impl QueryBackend for Backend {
    async fn session(&self, id: &str) -> Result<Arc<SessionContext>> {
        let context = self.catalog.session(id, self.catalog.config());
        let context = Arc::new(context.map_err(|e| BallistaError::General(e.to_string()))?);
        if let Some(request) = RequestInfo::current() {
            self.sessions.open(&request.session, &context);
        }
        Ok(context)
    }

    async fn close_session(&self, _id: &str) -> Result<()> {
        Ok(())
    }

    // As `async_trait` has it, but for what its future holds: neither the session nor the plan.
    fn execute<'a, 'b, 'f>(
        &'a self,
        name: &'b str,
        context: Arc<SessionContext>,
        plan: LogicalPlan,
    ) -> Pin<Box<dyn Future<Output = Result<QueryResult>> + Send + 'f>>
    where
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        self.execute_query(name, context, plan)
    }
}
