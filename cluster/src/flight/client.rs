//! Asking a server over Flight SQL: `tamis sql --remote`.

use std::sync::Arc;

use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{Action, FlightInfo};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};
use tonic::Code;
use tonic::transport::Channel;

pub use super::sessions::QueryProgress;
use super::{PROGRESS, QUERY_ID};
use crate::MESSAGE_BYTES;
use crate::access::random_token;
use crate::error::ClusterError;
use crate::net::{Endpoint, Link};

/// How a client shows who it is.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// A user's name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
}

/// A session on a server.
#[derive(Debug, Clone)]
pub struct RemoteSession {
    server: Endpoint,
    channel: Channel,
    token: Option<String>,
}

/// A query's result, to be read.
pub struct RemoteResult {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub rows: SendableRecordBatchStream,
}

impl RemoteSession {
    /// Connects and logs in.
    pub async fn open(server: Endpoint, link: &Link, credentials: Credentials) -> Result<Self, ClusterError> {
        let failed = |e: tonic::transport::Error| ClusterError::unanswered("connecting to", &server.to_string(), e);
        let channel = link.endpoint(&server.host, server.port)?.connect().await.map_err(failed)?;
        let mut session = Self { server, channel, token: None };
        match credentials {
            Credentials::None => {}
            Credentials::Token(token) => session.token = Some(token),
            Credentials::Password { user, password } => {
                let mut client = session.client();
                client.handshake(&user, &password).await.map_err(|e| session.said(e))?;
                session.token = client.token().cloned();
            }
        }
        Ok(session)
    }

    fn client(&self) -> FlightSqlServiceClient<Channel> {
        let inner = arrow_flight::flight_service_client::FlightServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let mut client = FlightSqlServiceClient::new_from_inner(inner);
        if let Some(token) = &self.token {
            client.set_token(token.clone());
        }
        client
    }

    /// A new query's id: its progress is asked for by it.
    pub fn query_id() -> Result<String, ClusterError> {
        Ok(random_token()?)
    }

    /// Runs a statement. Dropping the future cancels it.
    pub async fn run(&self, sql: &str, id: &str) -> Result<RemoteResult, ClusterError> {
        let mut client = self.client();
        client.set_header(QUERY_ID, id);
        let info: FlightInfo = client.execute(sql.to_string(), None).await.map_err(|e| self.said(e))?;
        let schema: Schema = info.clone().try_decode_schema().map_err(|e| self.said(FlightError::Arrow(e)))?;
        let schema = Arc::new(schema);
        let session = self.clone();
        let tickets = info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket);
        let rows = stream::iter(tickets)
            .then(move |ticket| {
                let session = session.clone();
                async move {
                    let batches = session.client().do_get(ticket).await.map_err(|e| remote(session.said(e)))?;
                    let read = session.clone();
                    Ok::<_, DataFusionError>(batches.map_err(move |e| remote(read.said(e))))
                }
            })
            .try_flatten();
        let rows = rows.map(|batch: DataFusionResult<RecordBatch>| batch).boxed();
        Ok(RemoteResult { schema: Arc::clone(&schema), rows: Box::pin(RecordBatchStreamAdapter::new(schema, rows)) })
    }

    /// How far a query is.
    pub async fn progress(&self, id: &str) -> Option<QueryProgress> {
        let action = Action { r#type: PROGRESS.into(), body: id.to_string().into() };
        let mut inner = arrow_flight::FlightClient::new(self.channel.clone());
        if let Some(token) = &self.token {
            inner.add_header("authorization", &format!("Bearer {token}")).ok()?;
        }
        let mut answer = inner.do_action(action).await.ok()?;
        serde_json::from_slice(&answer.try_next().await.ok()??).ok()
    }

    /// What the server said, or why it said nothing.
    fn said(&self, error: FlightError) -> ClusterError {
        let server = self.server.to_string();
        match error {
            // The server's own words; a code of the transport's has none.
            FlightError::Tonic(status) if !status.message().is_empty() && status.code() != Code::Unavailable => {
                ClusterError::Remote { message: readable(status.message()) }
            }
            FlightError::Tonic(status) => ClusterError::unanswered("asking", &server, status.message().to_string()),
            FlightError::Arrow(error) => ClusterError::unanswered("reading the answer of", &server, error),
            error => ClusterError::unanswered("asking", &server, error),
        }
    }
}

fn remote(error: ClusterError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The message without what the layers that it came through have put in front of it.
fn readable(message: &str) -> String {
    const FRONTS: [&str; 12] = [
        "failed to plan query: ",
        "query execution failed: ",
        "failed to execute statement: ",
        "General error: ",
        "DataFusion error: ",
        "Error during planning: ",
        "Execution error: ",
        "External error: ",
        "External: ",
        "IO error: ",
        "Shared(",
        "This feature is not implemented: ",
    ];
    let mut message = message.trim();
    while let Some(rest) = FRONTS.iter().find_map(|front| message.strip_prefix(front)) {
        message = rest;
    }
    message.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_readable() {
        let said = "query execution failed: General error: DataFusion error: External error: the row is wrong";
        assert_eq!(readable(said), "the row is wrong");
        assert_eq!(readable("failed to plan query: Error during planning: no such file"), "no such file");
    }
}
