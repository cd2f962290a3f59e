//! The Flight SQL server: Ballista's frontend, with who asks in front of it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandGetCatalogs,
    CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult,
    ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc,
    Ticket,
};
use axum::extract::ConnectInfo;
use ballista_flight_sql::BallistaFlightSqlService;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::ipc::writer::IpcWriteOptions;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions, Request, Response, Status, Streaming};

use super::backend::Backend;
use super::request::RequestInfo;
use super::results::{Kept, Results};
use super::sessions::{QueryProgress, Sessions};
use super::{PROGRESS, QUERY_ID, parameters};
use crate::access::{Access, Caller};
use crate::cluster::Catalog;
use crate::error::EngineError;
use crate::net::Peer;
use crate::statements::{self, CORPUS};

type Inner = BallistaFlightSqlService<Backend>;
type Streamed = <Inner as FlightService>::DoGetStream;
type Handshake = Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>;
type Answer<T> = Result<T, Status>;

/// A session of the frontend that nothing was asked in for so long is forgotten, here and there.
const IDLE_SESSION: Duration = Duration::from_secs(25 * 60);

/// `CancelResult` of the protocol, whose enumeration arrow-flight keeps to itself.
const CANCELLED: i32 = 1;
const NOT_CANCELLABLE: i32 = 3;

/// Ballista's Flight SQL frontend behind ours.
pub(super) struct TamisFlight {
    inner: Inner,
    backend: Arc<Backend>,
    access: Arc<Access>,
    catalog: Arc<Catalog>,
    results: Arc<Results>,
    sessions: Arc<Sessions>,
    /// The frontend's tokens by session.
    tokens: Mutex<HashMap<String, Token>>,
    /// Prepared statements, by the frontend's handle.
    prepared: Mutex<HashMap<String, Prepared>>,
}

struct Token {
    token: String,
    used: Instant,
}

struct Prepared {
    session: String,
    sql: String,
    /// How many it has.
    parameters: usize,
    values: Option<RecordBatch>,
    used: Instant,
}

impl TamisFlight {
    pub(super) fn new(
        inner: Inner,
        backend: Arc<Backend>,
        access: Arc<Access>,
        catalog: Arc<Catalog>,
        results: Arc<Results>,
        sessions: Arc<Sessions>,
    ) -> Self {
        Self {
            inner,
            backend,
            access,
            catalog,
            results,
            sessions,
            tokens: Mutex::default(),
            prepared: Mutex::default(),
        }
    }

    async fn caller(&self, metadata: &MetadataMap) -> Answer<Caller> {
        let (access, headers) = (Arc::clone(&self.access), metadata.clone().into_headers());
        let checked = tokio::task::spawn_blocking(move || access.caller(&headers)).await;
        let checked = checked.map_err(|e| Status::internal(format!("looking at the credentials: {e}")))?;
        checked.map_err(|denied| Status::unauthenticated(denied.to_string()))
    }

    /// Finds out who asks, and gives the request to the frontend's session that is theirs.
    ///
    /// Whoever has logged in shows a token that the frontend has made. Others (with a token of the configuration, or
    /// where nobody is asked for credentials) have a session for each connection.
    async fn enter<T>(&self, mut request: Request<T>) -> Answer<(Arc<RequestInfo>, Request<T>)> {
        let caller = self.caller(request.metadata()).await?;
        let query = request.metadata().get(QUERY_ID).and_then(|id| id.to_str().ok()).map(str::to_string);
        let shown = bearer(request.metadata());
        let (session, token) = match shown {
            Some(token) if self.access.has_session(&token) => (format!("token {token}"), token),
            _ => {
                let session = format!("{caller:?} at {}", connection(request.extensions()));
                let token = self.token(&session).await?;
                (session, token)
            }
        };
        let value = format!("Bearer {token}");
        let value = value.parse().map_err(|_| Status::internal("a token cannot stand in a header"))?;
        request.metadata_mut().insert("authorization", value);
        Ok((Arc::new(RequestInfo::new(session, format!("{caller:?}"), query)), request))
    }

    /// The frontend's token for a session; it makes one with a handshake.
    async fn token(&self, session: &str) -> Answer<String> {
        {
            let mut tokens = self.tokens.lock();
            tokens.retain(|_, token| token.used.elapsed() < IDLE_SESSION);
            if let Some(token) = tokens.get_mut(session) {
                token.used = Instant::now();
                return Ok(token.token.clone());
            }
        }
        let nothing = tonic::codec::Streaming::new_empty(
            tonic_prost::ProstDecoder::<HandshakeRequest>::default(),
            tonic::body::Body::empty(),
        );
        let response = self.inner.do_handshake(Request::new(nothing)).await?;
        let token = bearer(response.metadata()).ok_or_else(|| Status::internal("a session has no token"))?;
        let new = Token { token: token.clone(), used: Instant::now() };
        Ok(self.tokens.lock().entry(session.to_string()).or_insert(new).token.clone())
    }

    /// The statement as the frontend is to plan it: with the FROM that it may leave out, its samples taken, its
    /// parameters numbered; and how many it has.
    fn rewritten(&self, sql: &str) -> Answer<(String, usize)> {
        let refused = |e: EngineError| Status::invalid_argument(e.locate(sql).to_string());
        let mut parsed = statements::parse(sql).map_err(refused)?;
        let before: Vec<_> = parsed.iter().cloned().collect();
        let mut parameters = 0;
        for statement in &mut parsed {
            statements::read_from_corpus(statement, self.catalog.has_table(CORPUS)).map_err(refused)?;
            statements::take_samples(statement).map_err(refused)?;
            parameters = parameters.max(parameters::number(statement));
        }
        if before.iter().eq(parsed.iter()) {
            return Ok((sql.to_string(), parameters));
        }
        let texts: Vec<String> = parsed.iter().map(ToString::to_string).collect();
        Ok((texts.join("; "), parameters))
    }

    /// Puts tickets of ours in the places of the frontend's.
    fn seal(&self, request: &RequestInfo, mut info: FlightInfo) -> Answer<FlightInfo> {
        let mut handles = vec![];
        for endpoint in &info.endpoint {
            let ticket = endpoint.ticket.as_ref().map(|ticket| ticket.ticket.clone()).unwrap_or_default();
            let any = Any::decode(ticket).map_err(|e| Status::internal(format!("a ticket is not understood: {e}")))?;
            let ticket: Option<TicketStatementQuery> =
                any.unpack().map_err(|e| Status::internal(format!("a ticket is not understood: {e}")))?;
            handles.push(ticket.ok_or_else(|| Status::internal("a ticket is of no statement"))?.statement_handle);
        }
        let tickets = self.results.seal(&request.owner, request.job(), handles)?;
        for (endpoint, ticket) in info.endpoint.iter_mut().zip(tickets) {
            let ticket = TicketStatementQuery { statement_handle: ticket.into() };
            endpoint.ticket = Some(Ticket { ticket: ticket.as_any().encode_to_vec().into() });
        }
        Ok(info)
    }

    async fn run_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
        info: &Arc<RequestInfo>,
    ) -> Answer<Response<FlightInfo>> {
        let sql = query.query.clone();
        let answer = info.answer(self.inner.get_flight_info_statement(query, request)).await;
        if let Some(query) = &info.query {
            self.sessions.end_query(query);
        }
        match answer {
            Ok(answer) => Ok(Response::new(self.seal(info, answer.into_inner())?)),
            Err(status) => Err(self.explained(status, info, &sql).await),
        }
    }

    /// A planning error in the words of the local command.
    async fn explained(&self, status: Status, info: &RequestInfo, sql: &str) -> Status {
        if status.code() != Code::InvalidArgument {
            return status;
        }
        let Some(context) = self.sessions.context(&info.session) else { return status };
        match context.state().create_logical_plan(sql).await {
            Ok(_) => status,
            Err(error) => Status::invalid_argument(EngineError::from(error).locate(sql).to_string()),
        }
    }

    fn progress(&self, info: &RequestInfo, query: &str) -> QueryProgress {
        let known = self.sessions.query(query).filter(|known| known.session == info.session);
        let Some(known) = known else { return QueryProgress::default() };
        let watch = self.backend.watch();
        let counts = watch.counts(known.jobs.last().map(std::slice::from_ref).unwrap_or_default());
        QueryProgress {
            is_running: true,
            rows: known.rows,
            counts,
            executors: watch.executors().len(),
            again: known.again,
        }
    }
}

fn bearer(metadata: &MetadataMap) -> Option<String> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_string())
}

/// What tells a connection from others.
fn connection(extensions: &Extensions) -> String {
    let peer = extensions.get::<ConnectInfo<Peer>>().map(|info| info.0.address.to_string());
    peer.unwrap_or_else(|| "an unknown address".into())
}

fn schema_bytes(schema: &Schema) -> Answer<bytes::Bytes> {
    let options = IpcWriteOptions::default();
    let message: IpcMessage = SchemaAsIpc::new(schema, &options)
        .try_into()
        .map_err(|e| Status::internal(format!("encoding a schema: {e}")))?;
    Ok(message.0)
}

fn handle_text(handle: &bytes::Bytes) -> String {
    String::from_utf8_lossy(handle).into_owned()
}

#[tonic::async_trait]
impl FlightSqlService for TamisFlight {
    type FlightService = Self;

    async fn do_handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Answer<Response<Handshake>> {
        let caller = self.caller(request.metadata()).await?;
        let response = self.inner.do_handshake(request).await?;
        if let Some(token) = bearer(response.metadata()) {
            self.access.begin_session(&token, caller);
        }
        Ok(response)
    }

    /// Tickets that are none of ours are refused: the frontend would fetch from whatever address they name.
    async fn do_get_fallback(&self, _request: Request<Ticket>, _message: Any) -> Answer<Response<Streamed>> {
        Err(Status::invalid_argument("this ticket was not given out by this server"))
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Answer<Response<FlightInfo>> {
        let (info, request) = self.enter(request).await?;
        let (sql, parameters) = self.rewritten(&query.query)?;
        if parameters > 0 {
            return Err(Status::invalid_argument("the query has parameters: prepare it and bind them"));
        }
        let info = info.of(&sql);
        self.run_statement(CommandStatementQuery { query: sql, ..query }, request, &info).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Answer<Response<FlightInfo>> {
        let (info, request) = self.enter(request).await?;
        let known = {
            let mut prepared = self.prepared.lock();
            let known = prepared.get_mut(&handle_text(&query.prepared_statement_handle));
            known.filter(|known| known.session == info.session).map(|known| {
                known.used = Instant::now();
                (known.sql.clone(), known.parameters, known.values.clone())
            })
        };
        let Some((sql, parameters, values)) = known else {
            return Err(Status::not_found("there is no prepared statement of this handle: its time is over"));
        };
        // The values of parameters are the client's own: the job is named without them.
        let info = info.of(&sql);
        if parameters > 0 {
            let values =
                values.ok_or_else(|| Status::invalid_argument("the statement has parameters, and none are bound"))?;
            let query =
                parameters::bind(&sql, &values, parameters).map_err(|e| Status::invalid_argument(e.to_string()))?;
            return self.run_statement(CommandStatementQuery { query, transaction_id: None }, request, &info).await;
        }
        let answer = info.answer(self.inner.get_flight_info_prepared_statement(query, request)).await;
        if let Some(query) = &info.query {
            self.sessions.end_query(query);
        }
        Ok(Response::new(self.seal(&info, answer?.into_inner())?))
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Answer<Response<FlightInfo>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.get_flight_info_catalogs(query, request)).await
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Answer<Response<FlightInfo>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.get_flight_info_schemas(query, request)).await
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Answer<Response<FlightInfo>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.get_flight_info_tables(query, request)).await
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Answer<Response<FlightInfo>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.get_flight_info_table_types(query, request)).await
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Answer<Response<FlightInfo>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.get_flight_info_sql_info(query, request)).await
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Answer<Response<FlightInfo>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.get_flight_info_xdbc_type_info(query, request)).await
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Answer<Response<Streamed>> {
        let (info, request) = self.enter(request).await?;
        let ours = handle_text(&ticket.statement_handle);
        let Some((statement_handle, reader)) = self.results.open(&info.owner, &ours) else {
            return Err(Status::not_found("there is no result for this ticket: it was fetched, or its time is over"));
        };
        let ticket = TicketStatementQuery { statement_handle };
        let response = info.answer(self.inner.do_get_statement(ticket, request)).await?;
        Ok(response.map(|stream| Box::pin(Kept::new(stream, reader)) as Streamed))
    }

    async fn do_get_catalogs(&self, query: CommandGetCatalogs, request: Request<Ticket>) -> Answer<Response<Streamed>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.do_get_catalogs(query, request)).await
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, request: Request<Ticket>) -> Answer<Response<Streamed>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.do_get_schemas(query, request)).await
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Answer<Response<Streamed>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.do_get_tables(query, request)).await
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<Ticket>,
    ) -> Answer<Response<Streamed>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.do_get_table_types(query, request)).await
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, request: Request<Ticket>) -> Answer<Response<Streamed>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.do_get_sql_info(query, request)).await
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<Ticket>,
    ) -> Answer<Response<Streamed>> {
        let (info, request) = self.enter(request).await?;
        info.answer(self.inner.do_get_xdbc_type_info(query, request)).await
    }

    async fn do_put_statement_update(
        &self,
        ticket: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Answer<i64> {
        let (info, request) = self.enter(request).await?;
        let (query, _) = self.rewritten(&ticket.query)?;
        info.answer(self.inner.do_put_statement_update(CommandStatementUpdate { query, ..ticket }, request)).await
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Answer<DoPutPreparedStatementResult> {
        let (info, request) = self.enter(request).await?;
        let data = request.into_inner().map_err(|status| FlightError::Tonic(Box::new(status)));
        let batches: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(data)
            .try_collect()
            .await
            .map_err(|e| Status::invalid_argument(format!("reading the parameters: {e}")))?;
        let unknown = || Status::not_found("there is no prepared statement with parameters of this handle");
        let rows = batches.iter().filter(|batch| batch.num_rows() > 0).collect::<Vec<_>>();
        let [values] = rows.as_slice() else {
            return Err(Status::invalid_argument("a query takes one row of parameters"));
        };
        let mut prepared = self.prepared.lock();
        let known = prepared.get_mut(&handle_text(&query.prepared_statement_handle));
        let known = known.filter(|known| known.session == info.session).ok_or_else(unknown)?;
        known.values = Some((*values).clone());
        known.used = Instant::now();
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) })
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Answer<ActionCreatePreparedStatementResult> {
        let (info, request) = self.enter(request).await?;
        let (sql, parameters) = self.rewritten(&query.query)?;
        let query = ActionCreatePreparedStatementRequest { query: sql.clone(), ..query };
        let mut result = match info.answer(self.inner.do_action_create_prepared_statement(query, request)).await {
            Ok(result) => result,
            Err(status) => return Err(self.explained(status, &info, &sql).await),
        };
        if parameters > 0 {
            let context = self.sessions.context(&info.session);
            let context = context.ok_or_else(|| Status::internal("the session is not known"))?;
            let plan = context.state().create_logical_plan(&sql).await;
            let plan = plan.map_err(|e| Status::invalid_argument(EngineError::from(e).to_string()))?;
            result.parameter_schema = schema_bytes(&parameters::schema(&plan))?;
        }
        let mut prepared = self.prepared.lock();
        prepared.retain(|_, known| known.used.elapsed() < IDLE_SESSION);
        let new = Prepared { session: info.session.clone(), sql, parameters, values: None, used: Instant::now() };
        prepared.insert(handle_text(&result.prepared_statement_handle), new);
        Ok(result)
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Answer<()> {
        let (info, request) = self.enter(request).await?;
        {
            let mut prepared = self.prepared.lock();
            let handle = handle_text(&query.prepared_statement_handle);
            if prepared.get(&handle).is_some_and(|known| known.session == info.session) {
                prepared.remove(&handle);
            }
        }
        info.answer(self.inner.do_action_close_prepared_statement(query, request)).await
    }

    /// The query of a FlightInfo has ended: what is left to cancel is its result.
    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Answer<ActionCancelQueryResult> {
        let (info, _) = self.enter(request).await?;
        let flight = FlightInfo::decode(query.info).map_err(|e| Status::invalid_argument(format!("the query: {e}")))?;
        let ours = flight.endpoint.iter().filter_map(|endpoint| {
            let ticket = Any::decode(endpoint.ticket.as_ref()?.ticket.clone()).ok()?;
            let ticket: TicketStatementQuery = ticket.unpack().ok()??;
            Some(handle_text(&ticket.statement_handle))
        });
        let mut is_cancelled = false;
        ours.for_each(|ticket| is_cancelled |= self.results.forget(&info.owner, &ticket));
        Ok(ActionCancelQueryResult { result: if is_cancelled { CANCELLED } else { NOT_CANCELLABLE } })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Answer<Response<<Self as FlightService>::DoActionStream>> {
        let (info, request) = self.enter(request).await?;
        let action = request.into_inner();
        if action.r#type != PROGRESS {
            return Err(Status::unimplemented(format!("the action {} is not known here", action.r#type)));
        }
        let query = String::from_utf8_lossy(&action.body).into_owned();
        let body = serde_json::to_vec(&self.progress(&info, &query))
            .map_err(|e| Status::internal(format!("telling the progress: {e}")))?;
        let answer = stream::once(async move { Ok(arrow_flight::Result { body: body.into() }) });
        Ok(Response::new(answer.boxed()))
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        let description = "How far the query of this id is, as JSON".into();
        Some(vec![Ok(ActionType { r#type: PROGRESS.into(), description })])
    }

    async fn register_sql_info(&self, id: i32, result: &SqlInfo) {
        self.inner.register_sql_info(id, result).await;
    }
}
