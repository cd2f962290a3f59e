//! Who asks, and what is asked: what stands between a client's request and Ballista's frontend.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::sql::{
    Any, CommandPreparedStatementQuery, CommandStatementQuery, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, IpcMessage, SchemaAsIpc, Ticket};
use axum::extract::ConnectInfo;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::ipc::writer::IpcWriteOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use prost::Message;
use tamis_engine::EngineError;
use tamis_engine::statements::{self, CORPUS};
use tamis_udfs::reach::Refused;
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions, Request, Response, Status};

use super::backend::Backend;
use super::frontend::{Answer, Frontend};
use super::request::RequestInfo;
use super::results::{Kept, Results};
use super::sessions::{QueryProgress, Sessions};
use super::{QUERY_ID, allowed, parameters};
use crate::access::{Access, Caller, Reason};
use crate::net::Peer;
use crate::opaque::Opaque;
use crate::scheduler::Catalog;

/// A session of the frontend that nothing was asked in for so long is forgotten, here and there.
pub(super) const IDLE_SESSION: Duration = Duration::from_secs(25 * 60);

/// Ballista's Flight SQL frontend behind ours.
pub(super) struct TamisFlight {
    pub(super) inner: Arc<dyn Frontend>,
    backend: Arc<Backend>,
    pub(super) access: Arc<Access>,
    pub(super) catalog: Opaque<Catalog>,
    pub(super) results: Arc<Results>,
    pub(super) sessions: Opaque<Sessions>,
    /// The frontend's tokens by session.
    tokens: Mutex<HashMap<String, Token>>,
    /// Prepared statements, by the frontend's handle.
    pub(super) prepared: Mutex<HashMap<String, Prepared>>,
}

struct Token {
    token: String,
    used: Instant,
}

/// A prepared statement.
pub(super) struct Prepared {
    pub(super) session: String,
    pub(super) sql: String,
    /// How many it has.
    pub(super) parameters: usize,
    pub(super) values: Option<RecordBatch>,
    pub(super) used: Instant,
}

impl TamisFlight {
    pub(super) fn new(
        inner: Arc<dyn Frontend>,
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
            catalog: catalog.into(),
            results,
            sessions: sessions.into(),
            tokens: Mutex::default(),
            prepared: Mutex::default(),
        }
    }

    pub(super) async fn caller<T>(&self, request: &Request<T>) -> Answer<Caller> {
        let (access, headers) = (Arc::clone(&self.access), request.metadata().clone().into_headers());
        let address = peer(request.extensions()).map(|address| address.ip());
        let checked = tokio::task::spawn_blocking(move || access.caller(&headers, address)).await;
        let checked = checked.map_err(|e| Status::internal(format!("looking at the credentials: {e}")))?;
        checked.map_err(|denied| Status::unauthenticated(denied.to_string()))
    }

    /// Finds out who asks, and gives the request to the frontend's session that is theirs.
    ///
    /// Whoever has logged in shows a token that the frontend has made. Others (with a token of the configuration, or
    /// where nobody is asked for credentials) have a session for each connection.
    pub(super) async fn enter<T>(&self, mut request: Request<T>) -> Answer<(Arc<RequestInfo>, Request<T>)> {
        let caller = self.caller(&request).await?;
        let query = request.metadata().get(QUERY_ID).and_then(|id| id.to_str().ok()).map(str::to_string);
        let shown = bearer(request.metadata());
        let (session, token) = match shown {
            Some(token) if self.access.has_session(&token) => (format!("token {token}"), token),
            _ => {
                let address =
                    peer(request.extensions()).map_or_else(|| "an unknown address".into(), |at| at.to_string());
                let session = format!("{caller:?} at {address}");
                let token = self.token(&session).await?;
                (session, token)
            }
        };
        let value = format!("Bearer {token}");
        let value = value.parse().map_err(|_| Status::internal("a token cannot stand in a header"))?;
        request.metadata_mut().insert("authorization", value);
        let reach = self.access.reach(&caller);
        Ok((Arc::new(RequestInfo::new(caller, reach, session, query)), request))
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
    pub(super) fn rewritten(&self, info: &RequestInfo, sql: &str) -> Answer<(String, usize)> {
        let refused = |e| Status::invalid_argument(EngineError::from(e).locate(sql).to_string());
        let mut parsed = statements::parse(sql).map_err(refused)?;
        let before: Vec<_> = parsed.iter().cloned().collect();
        let mut parameters = 0;
        for statement in &mut parsed {
            allowed::check(statement, &info.reach, self.catalog.config().options())
                .map_err(|e| self.not_allowed(e.to_string()))?;
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

    /// What a user is told that may not do something.
    fn not_allowed(&self, message: String) -> Status {
        self.access.refusals().count(Reason::Rights);
        Status::permission_denied(message)
    }

    /// Puts tickets of ours in the places of the frontend's.
    pub(super) fn seal(&self, request: &RequestInfo, mut info: FlightInfo) -> Answer<FlightInfo> {
        // The frontend has one for a query, that stands for nothing.
        let mut rows = request.take_rows();
        for endpoint in &mut info.endpoint {
            let kept = match rows.take() {
                Some(rows) => Kept::Rows(Some(rows)),
                None => Kept::Handle(statement_handle(endpoint)?),
            };
            let ticket = self.results.keep(&request.owner, kept)?;
            let ticket = TicketStatementQuery { statement_handle: ticket.into() };
            endpoint.ticket = Some(Ticket { ticket: ticket.as_any().encode_to_vec().into() });
        }
        Ok(info)
    }

    pub(super) async fn run_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
        info: &Arc<RequestInfo>,
    ) -> Answer<Response<FlightInfo>> {
        let sql = query.query.clone();
        match info.answer(self.inner.get_flight_info_statement(query, request)).await {
            Ok(answer) => Ok(Response::new(self.seal(info, answer.into_inner())?)),
            Err(status) => Err(self.explained(status, info, &sql).await),
        }
    }

    /// Runs a prepared statement without parameters.
    pub(super) async fn run_prepared(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
        info: &Arc<RequestInfo>,
    ) -> Answer<Response<FlightInfo>> {
        match info.answer(self.inner.get_flight_info_prepared_statement(query, request)).await {
            Ok(answer) => Ok(Response::new(self.seal(info, answer.into_inner())?)),
            Err(status) => Err(info.take_refusal().unwrap_or(status)),
        }
    }

    /// A planning error in the words of the local command.
    pub(super) async fn explained(&self, status: Status, info: &RequestInfo, sql: &str) -> Status {
        if let Some(refusal) = info.take_refusal() {
            return refusal;
        }
        if status.code() != Code::InvalidArgument {
            return status;
        }
        let Some(context) = self.sessions.context(&info.session) else { return status };
        match planned(context, sql.to_string()).await {
            Ok(_) => status,
            Err(error) => match Refused::of(&error).cloned() {
                Some(refused) => self.not_allowed(refused.to_string()),
                None => Status::invalid_argument(EngineError::from(error).locate(sql).to_string()),
            },
        }
    }

    pub(super) fn progress(&self, info: &RequestInfo, query: &str) -> QueryProgress {
        let known = self.sessions.query(query).filter(|known| known.session == info.session);
        let Some(known) = known else { return QueryProgress::default() };
        let watch = self.backend.watch();
        let counts = watch.counts(&known.jobs);
        QueryProgress {
            is_running: true,
            rows: known.rows,
            counts,
            executors: watch.executors().len(),
            again: known.again,
        }
    }
}

fn statement_handle(endpoint: &FlightEndpoint) -> Answer<bytes::Bytes> {
    let ticket = endpoint.ticket.as_ref().map(|ticket| ticket.ticket.clone()).unwrap_or_default();
    let any = Any::decode(ticket).map_err(|e| Status::internal(format!("a ticket is not understood: {e}")))?;
    let ticket: Option<TicketStatementQuery> =
        any.unpack().map_err(|e| Status::internal(format!("a ticket is not understood: {e}")))?;
    Ok(ticket.ok_or_else(|| Status::internal("a ticket is of no statement"))?.statement_handle)
}

/// The plan of a statement. Boxed, so that whoever waits for it has no session in its own future.
pub(super) fn planned(
    context: Arc<SessionContext>,
    sql: String,
) -> BoxFuture<'static, datafusion::error::Result<LogicalPlan>> {
    Box::pin(async move { context.state().create_logical_plan(&sql).await })
}

pub(super) fn bearer(metadata: &MetadataMap) -> Option<String> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_string())
}

/// The address at the other end of a connection, which tells it from others.
fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<ConnectInfo<Peer>>().map(|info| info.0.address)
}

pub(super) fn schema_bytes(schema: &Schema) -> Answer<bytes::Bytes> {
    let options = IpcWriteOptions::default();
    let message: IpcMessage = SchemaAsIpc::new(schema, &options)
        .try_into()
        .map_err(|e| Status::internal(format!("encoding a schema: {e}")))?;
    Ok(message.0)
}

pub(super) fn handle_text(handle: &bytes::Bytes) -> String {
    String::from_utf8_lossy(handle).into_owned()
}
