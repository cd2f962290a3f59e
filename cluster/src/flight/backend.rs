//! Running queries: their plans here, the parts that are maps over files on executors.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::error::{BallistaError, Result};
use ballista_core::serde::protobuf::{ExecutorMetadata, PartitionId, PartitionLocation};
use ballista_flight_sql::{QueryBackend, QueryResult};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use tamis_engine::counts::rows_to_scan;
use tamis_files::describe::message;
use tamis_udfs::reach::Reach;
use tonic::Status;

use super::explain;
use super::request::RequestInfo;
use super::results::Rows;
use super::sent::sent;
use super::sessions::Sessions;
use crate::access::{Access, Reason};
use crate::codec::physical_codec;
use crate::gather::{News, Query, cut, settle, sorted_last};
use crate::models::ModelsWanted;
use crate::opaque::Opaque;
use crate::queries::{Queries, TooMany};
use crate::scheduler::{Catalog, Scheduler, Watch};

/// A job is named by its statement, up to so many characters.
const LONGEST_NAME: usize = 200;

/// What runs the queries of clients.
pub(super) struct Backend {
    scheduler: Scheduler,
    watch: Arc<Watch>,
    catalog: Opaque<Catalog>,
    sessions: Opaque<Sessions>,
    queries: Arc<Queries>,
    access: Arc<Access>,
}

/// A query that runs.
struct Begun {
    query: Arc<Query>,
    plan: Arc<dyn ExecutionPlan>,
    rows: SendableRecordBatchStream,
}

impl Backend {
    pub(super) fn new(
        scheduler: Scheduler,
        watch: Arc<Watch>,
        catalog: Arc<Catalog>,
        sessions: Arc<Sessions>,
        queries: Arc<Queries>,
        access: Arc<Access>,
    ) -> Self {
        Self { scheduler, watch, catalog: catalog.into(), sessions: sessions.into(), queries, access }
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Begins a query, or explains how it ran; answers when its first rows are there.
    fn execute_query<'a>(
        &'a self,
        name: &'a str,
        context: Arc<SessionContext>,
        plan: LogicalPlan,
    ) -> BoxFuture<'a, Result<QueryResult>> {
        Box::pin(async move {
            let Some(request) = RequestInfo::current() else {
                return Err(BallistaError::Internal("a query runs for no request".into()));
            };
            // A prepared statement comes without its text.
            let name = if request.sql.is_empty() { name } else { request.sql.as_str() };
            let name: String =
                name.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_NAME).collect();
            let place = self.queries.begin(&request.caller, &name).await.map_err(|e| self.refuse(&request, &e))?;
            let Some(running) = self.watch.begin_query() else {
                return Err(BallistaError::General("this server is about to end and takes no more queries".into()));
            };
            let noted = NotedQuery { sessions: self.sessions.clone(), id: request.query.clone() };
            let (schema, rows) = match &plan {
                LogicalPlan::Analyze(analyze) => {
                    let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
                    let begun = self.begin(&name, &request, place.id(), &context, &analyze.input).await?;
                    let report = self.report(begun).await?;
                    let batch = explain::rows(report, &schema)?;
                    (schema, stream::iter([Ok(batch)]).boxed())
                }
                plan => {
                    let begun = self.begin(&name, &request, place.id(), &context, plan).await?;
                    let mut rows = sent(begun.rows);
                    let schema = rows.schema();
                    let first = rows.next().await.transpose().map_err(|e| BallistaError::General(message(&e)))?;
                    (schema, stream::iter(first.map(Ok)).chain(rows).boxed())
                }
            };
            let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), rows);
            request.set_rows(Rows {
                schema: Arc::clone(&schema),
                rows: Box::pin(rows),
                with: Box::new((running, noted, place)),
            });
            Ok(QueryResult { job_id: "none".into(), schema, partitions: vec![nowhere()] })
        })
    }

    /// Refuses a request for reasons that are not its query's.
    fn refuse(&self, request: &RequestInfo, reason: &TooMany) -> BallistaError {
        self.access.refusals().count(Reason::Limits);
        request.refuse(Status::resource_exhausted(reason.to_string()));
        BallistaError::General(reason.to_string())
    }

    /// Plans a query and begins it.
    async fn begin(
        &self,
        name: &str,
        request: &RequestInfo,
        number: u64,
        context: &Arc<SessionContext>,
        plan: &LogicalPlan,
    ) -> Result<Begun> {
        let planned = sorted_last(context.state().create_physical_plan(plan).await?)?;
        let wanted = ModelsWanted::by(&planned, context.copied_config().options());
        if let Err(refused) = ModelsWanted::check(&planned, context.copied_config().options()) {
            self.access.refusals().count(Reason::Rights);
            request.refuse(Status::permission_denied(refused.to_string()));
            return Err(BallistaError::General(refused.to_string()));
        }
        let (sessions, id) = (self.sessions.clone(), request.query.clone());
        if let Some(id) = &id {
            let rows = rows_to_scan(planned.as_ref());
            self.sessions.update_query(id, |state| {
                state.session.clone_from(&request.session);
                state.rows = rows;
            });
        }
        let (queries, caller) = (Arc::clone(&self.queries), request.caller.clone());
        let tell = move |news: News<'_>| {
            if let News::Job(job) = news {
                queries.note_job(number, &caller, job.as_str());
            }
            let Some(id) = &id else { return };
            sessions.update_query(id, |state| match news {
                News::Job(job) => state.jobs.push(job.to_string()),
                News::Again(reason) => state.again = Some(reason.to_string()),
            });
        };
        let in_session = self.session_of_tasks(context, &request.reach);
        let (codec, tasks) = (physical_codec(), in_session.task_ctx());
        let (scheduler, name) = (Arc::clone(&self.scheduler), name.to_string());
        let query_name = name.clone();
        let submit = move |plan, statuses| {
            let (scheduler, context, name) = (Arc::clone(&scheduler), Arc::clone(&in_session), name.clone());
            let begun = async move {
                let begun = scheduler.submit(&name, context, plan, statuses).await;
                begun.map_err(|e| DataFusionError::Execution(e.to_string()))
            };
            Box::pin(begun) as BoxFuture<'static, _>
        };
        let settle = move |plan: &Arc<dyn ExecutionPlan>| settle(plan, codec.as_ref(), &tasks);
        let query = Query::new(
            query_name,
            Arc::clone(&self.scheduler),
            Arc::clone(&self.watch),
            wanted,
            Box::new(submit),
            Box::new(settle),
            Box::new(tell),
        );
        let query = Arc::new(query);
        let spread = self.watch.slots().spread(Arc::clone(&planned), Arc::clone(context)).await?;
        let plan = cut(planned, &spread, &query)?;
        let rows = execute_stream(Arc::clone(&plan), context.task_ctx())?;
        Ok(Begun { query, plan, rows })
    }

    /// The session of a query's tasks. What they may reach is what the query's user may, whatever the session itself says.
    fn session_of_tasks(&self, context: &SessionContext, reach: &Reach) -> Arc<SessionContext> {
        let mut state = context.state();
        let config = self.catalog.config_of_tasks(state.config().clone(), reach);
        *state.config_mut() = config;
        Arc::new(SessionContext::new_with_state(state))
    }

    /// Runs a query to its end and tells what its nodes have counted.
    async fn report(&self, begun: Begun) -> Result<String> {
        let Begun { query, plan, rows } = begun;
        let done = rows.try_for_each(|_| async { Ok(()) }).await;
        done.map_err(|e| BallistaError::General(message(&e)))?;
        let mut report = explain::here(plan.as_ref());
        for job in query.jobs() {
            report += &explain::tasks(job.as_str(), self.watch.graph(job.as_str()).await.as_ref());
        }
        Ok(report)
    }
}

/// Where the frontend is told that rows are: they are with the request.
fn nowhere() -> PartitionLocation {
    PartitionLocation {
        partition_id: Some(PartitionId::default()),
        executor_meta: Some(ExecutorMetadata::default()),
        ..PartitionLocation::default()
    }
}

/// A query of which is told how far it is.
struct NotedQuery {
    sessions: Opaque<Sessions>,
    id: Option<String>,
}

impl Drop for NotedQuery {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            self.sessions.end_query(id);
        }
    }
}

#[async_trait]
impl QueryBackend for Backend {
    async fn session(&self, id: &str) -> Result<Arc<SessionContext>> {
        let Some(request) = RequestInfo::current() else {
            return Err(BallistaError::Internal("a session is opened for no request".into()));
        };
        let context = self.catalog.session(id, self.catalog.config_for(&request.reach));
        let context = Arc::new(context.map_err(|e| BallistaError::General(e.to_string()))?);
        self.sessions.open(&request.session, &context);
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
