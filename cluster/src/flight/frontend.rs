//! Ballista's Flight SQL frontend behind a trait object.
//!
//! A call of one of its methods makes the compiler see that the frontend may be shared between threads: it looks through the
//! sessions in it, down to every plan node and expression. Within an async method of another trait it does so anew for each, six
//! seconds long. Here it does it once.

use std::pin::Pin;

use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandStatementQuery, CommandStatementUpdate,
    TicketStatementQuery,
};
use arrow_flight::{Action, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, Ticket};
use ballista_flight_sql::BallistaFlightSqlService;
use futures::Stream;
use futures::future::BoxFuture;
use tonic::{Request, Response, Status, Streaming};

use super::backend::Backend;
use super::results::Streamed;

pub(super) type Answer<T> = Result<T, Status>;
pub(super) type Handshake = Pin<Box<dyn Stream<Item = Answer<HandshakeResponse>> + Send>>;

/// The frontend's methods that are called here: a message and the request that it came in.
macro_rules! frontend {
    ($($method:ident($message:ty, $request:ty) -> $answer:ty;)*) => {
        /// Ballista's frontend, as far as it is asked.
        pub(super) trait Frontend: Send + Sync {
            /// Begins a session.
            fn do_handshake(
                &self,
                request: Request<Streaming<HandshakeRequest>>,
            ) -> BoxFuture<'_, Answer<Response<Handshake>>>;

            $(#[doc = concat!("[`FlightSqlService::", stringify!($method), "`]")]
            fn $method(&self, message: $message, request: Request<$request>) -> BoxFuture<'_, Answer<$answer>>;)*
        }

        impl Frontend for BallistaFlightSqlService<Backend> {
            fn do_handshake(
                &self,
                request: Request<Streaming<HandshakeRequest>>,
            ) -> BoxFuture<'_, Answer<Response<Handshake>>> {
                FlightSqlService::do_handshake(self, request)
            }

            $(fn $method(&self, message: $message, request: Request<$request>) -> BoxFuture<'_, Answer<$answer>> {
                FlightSqlService::$method(self, message, request)
            })*
        }
    };
}

frontend! {
    get_flight_info_statement(CommandStatementQuery, FlightDescriptor) -> Response<FlightInfo>;
    get_flight_info_prepared_statement(CommandPreparedStatementQuery, FlightDescriptor) -> Response<FlightInfo>;
    get_flight_info_catalogs(CommandGetCatalogs, FlightDescriptor) -> Response<FlightInfo>;
    get_flight_info_schemas(CommandGetDbSchemas, FlightDescriptor) -> Response<FlightInfo>;
    get_flight_info_tables(CommandGetTables, FlightDescriptor) -> Response<FlightInfo>;
    get_flight_info_table_types(CommandGetTableTypes, FlightDescriptor) -> Response<FlightInfo>;
    get_flight_info_sql_info(CommandGetSqlInfo, FlightDescriptor) -> Response<FlightInfo>;
    get_flight_info_xdbc_type_info(CommandGetXdbcTypeInfo, FlightDescriptor) -> Response<FlightInfo>;
    do_get_statement(TicketStatementQuery, Ticket) -> Response<Streamed>;
    do_get_catalogs(CommandGetCatalogs, Ticket) -> Response<Streamed>;
    do_get_schemas(CommandGetDbSchemas, Ticket) -> Response<Streamed>;
    do_get_tables(CommandGetTables, Ticket) -> Response<Streamed>;
    do_get_table_types(CommandGetTableTypes, Ticket) -> Response<Streamed>;
    do_get_sql_info(CommandGetSqlInfo, Ticket) -> Response<Streamed>;
    do_get_xdbc_type_info(CommandGetXdbcTypeInfo, Ticket) -> Response<Streamed>;
    do_put_statement_update(CommandStatementUpdate, PeekableFlightDataStream) -> i64;
    do_action_create_prepared_statement(ActionCreatePreparedStatementRequest, Action) -> ActionCreatePreparedStatementResult;
    do_action_close_prepared_statement(ActionClosePreparedStatementRequest, Action) -> ();
}
