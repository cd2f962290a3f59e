//! The Flight SQL server: the protocol's methods, each handed to Ballista's frontend by way of [`TamisFlight`].

use std::time::Instant;

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandGetCatalogs,
    CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult,
    SqlInfo, TicketStatementQuery,
};
use arrow_flight::{Action, ActionType, FlightDescriptor, FlightInfo, HandshakeRequest, IpcMessage, Ticket};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tamis_files::describe::message;
use tonic::{Request, Response, Status, Streaming};

use super::front::{IDLE_SESSION, Prepared, TamisFlight, bearer, handle_text, planned, schema_bytes};
use super::frontend::{Answer, Handshake};
use super::results::{Opened, Streamed};
use super::sent::sent_schema;
use super::{PROGRESS, parameters};

/// `CancelResult` of the protocol, whose enumeration arrow-flight keeps to itself.
const CANCELLED: i32 = 1;
const NOT_CANCELLABLE: i32 = 3;

#[tonic::async_trait]
impl FlightSqlService for TamisFlight {
    type FlightService = Self;

    async fn do_handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Answer<Response<Handshake>> {
        let caller = self.caller(&request).await?;
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
        let (sql, parameters) = self.rewritten(&info, &query.query)?;
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
        self.run_prepared(query, request, &info).await
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
        match self.results.open(&info.owner, &ours)? {
            Opened::Stream(rows) => Ok(Response::new(rows)),
            Opened::Handle(statement_handle) => {
                let ticket = TicketStatementQuery { statement_handle };
                info.answer(self.inner.do_get_statement(ticket, request)).await
            }
        }
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
        let (query, _) = self.rewritten(&info, &ticket.query)?;
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
        let (sql, parameters) = self.rewritten(&info, &query.query)?;
        let query = ActionCreatePreparedStatementRequest { query: sql.clone(), ..query };
        let mut result = match info.answer(self.inner.do_action_create_prepared_statement(query, request)).await {
            Ok(result) => result,
            Err(status) => return Err(self.explained(status, &info, &sql).await),
        };
        if !result.dataset_schema.is_empty() {
            let schema = Schema::try_from(IpcMessage(result.dataset_schema))
                .map_err(|e| Status::internal(format!("reading a schema: {e}")))?;
            result.dataset_schema = schema_bytes(&sent_schema(&schema))?;
        }
        if parameters > 0 {
            let context = self.sessions.context(&info.session);
            let context = context.ok_or_else(|| Status::internal("the session is not known"))?;
            let plan = planned(context, sql.clone()).await;
            let plan = plan.map_err(|e| Status::invalid_argument(message(&e)))?;
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

    /// Ends a query by the FlightInfo that was given for it.
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

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {
        // The frontend knows itself what it tells of the server.
    }
}
