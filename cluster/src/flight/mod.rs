//! Flight SQL: how clients, notebooks and BI tools ask a cluster.
//!
//! Ballista's frontend does the protocol over a [`QueryBackend`](ballista_flight_sql::QueryBackend) of ours. Around it stands
//! [`front`], which knows who asks and what they may fetch; [`service`] has the protocol's methods.

mod allowed;
mod backend;
pub mod client;
mod explain;
mod front;
mod frontend;
mod parameters;
mod request;
mod results;
mod sent;
mod service;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;
use ballista_core::flight_proxy_service::BallistaFlightProxyService;
use ballista_flight_sql::{Authenticator, BallistaFlightSqlService, Identity};

use crate::MESSAGE_BYTES;
use crate::access::Access;
use crate::net::Link;
use crate::queries::Queries;
use crate::scheduler::{Catalog, Scheduler, Watch};
use backend::Backend;
use front::TamisFlight;
use results::Results;
use sessions::Sessions;

/// Where the progress of a query is asked for: an action of Flight, with the query's id as its body.
pub(crate) const PROGRESS: &str = "tamis.progress";
/// The header with which a client gives its query an id.
pub(crate) const QUERY_ID: &str = "x-tamis-query";

/// What is chosen of the Flight SQL server.
#[derive(Debug)]
pub(crate) struct FlightSettings {
    /// Who is let in.
    pub(crate) access: Arc<Access>,
    /// How executors are reached.
    pub(crate) link: Link,
    /// For how long results that nobody fetches are kept.
    pub(crate) keep_results: Duration,
    /// The server's queries.
    pub(crate) queries: Arc<Queries>,
}

/// Flight SQL over a scheduler.
pub(crate) fn flight_routes(
    scheduler: Scheduler,
    watch: Arc<Watch>,
    catalog: Arc<Catalog>,
    settings: FlightSettings,
) -> Router {
    let FlightSettings { access, link, keep_results, queries } = settings;
    let proxy =
        BallistaFlightProxyService::new(MESSAGE_BYTES, MESSAGE_BYTES, link.tls.is_some(), Some(link.extension()));
    let results = Results::start(keep_results);
    let sessions = Arc::new(Sessions::default());
    let backend =
        Backend::new(scheduler, watch, Arc::clone(&catalog), Arc::clone(&sessions), queries, Arc::clone(&access));
    let backend = Arc::new(backend);
    let inner = BallistaFlightSqlService::new(Arc::clone(&backend), proxy).with_authenticator(Arc::new(Checked));
    let service = TamisFlight::new(Arc::new(inner), backend, access, catalog, results, sessions);
    let server = FlightServiceServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    tonic::service::Routes::new(server).into_axum_router().reset_fallback()
}

/// Lets in whoever comes to Ballista's frontend: they have been looked at in front of it.
struct Checked;

#[tonic::async_trait]
impl Authenticator for Checked {
    async fn authenticate(&self, _headers: &tonic::metadata::MetadataMap) -> Result<Identity, tonic::Status> {
        Ok(Identity::anonymous())
    }
}
