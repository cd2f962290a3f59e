//! Results that wait to be fetched.
//!
//! A client gets a ticket that tells nothing but itself: it can fetch what it was given, and nobody else can. A query's rows are fetched
//! while it runs, and once; a query that nobody fetches from ends when its time is over.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tamis_files::describe::message;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::access::random_token;

/// How often is looked for what nobody comes for.
const LOOKS: Duration = Duration::from_secs(5);

/// What a client is sent of a result.
pub(super) type Streamed = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// The rows of a query that runs. It ends with them.
pub(super) struct Rows {
    pub(super) schema: SchemaRef,
    pub(super) rows: SendableRecordBatchStream,
    /// What is to last as long as the query.
    pub(super) with: Box<dyn Send>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// What a ticket stands for.
pub(super) enum Kept {
    /// The rows of a query; `None`: they were fetched.
    Rows(Option<Rows>),
    /// A result that Ballista's frontend knows by this.
    Handle(bytes::Bytes),
}

/// What was found for a ticket.
pub(super) enum Opened {
    /// A query's rows.
    Stream(Streamed),
    /// A result of the frontend's.
    Handle(bytes::Bytes),
}

/// The tickets of a server.
pub(super) struct Results {
    keep: Duration,
    tickets: Mutex<HashMap<String, Ticket>>,
}

struct Ticket {
    owner: String,
    kept: Kept,
    readers: usize,
    touched: Instant,
    end: CancellationToken,
}

impl Results {
    pub(super) fn start(keep: Duration) -> Arc<Self> {
        let results = Arc::new(Self { keep, tickets: Mutex::default() });
        let swept = Arc::downgrade(&results);
        tokio::spawn(async move {
            while let Some(results) = swept.upgrade() {
                results.sweep();
                drop(results);
                tokio::time::sleep(LOOKS).await;
            }
        });
        results
    }

    /// A ticket of this owner's.
    pub(super) fn keep(&self, owner: &str, kept: Kept) -> Result<String, Status> {
        let ticket = random_token().map_err(|e| Status::internal(e.to_string()))?;
        let (owner, end) = (owner.to_string(), CancellationToken::new());
        let new = Ticket { owner, kept, readers: 0, touched: Instant::now(), end };
        self.tickets.lock().insert(ticket.clone(), new);
        Ok(ticket)
    }

    /// What a ticket of this owner's stands for. It stays while it is read.
    pub(super) fn open(self: &Arc<Self>, owner: &str, ticket: &str) -> Result<Opened, Status> {
        let unknown = || Status::not_found("there is no result for this ticket: it was cancelled, or its time is over");
        let mut tickets = self.tickets.lock();
        let known = tickets.get_mut(ticket).filter(|known| known.owner == owner).ok_or_else(unknown)?;
        known.touched = Instant::now();
        let rows = match &mut known.kept {
            Kept::Handle(handle) => return Ok(Opened::Handle(handle.clone())),
            Kept::Rows(rows) => rows.take(),
        };
        let rows =
            rows.ok_or_else(|| Status::not_found("the result of this ticket was fetched: run the query again"))?;
        known.readers += 1;
        let reader = Reader { results: Arc::clone(self), ticket: ticket.to_string() };
        Ok(Opened::Stream(encoded(rows, reader, known.end.clone())))
    }

    /// Forgets a result of this owner's, and ends its query; whether there was one.
    pub(super) fn forget(&self, owner: &str, ticket: &str) -> bool {
        let mut tickets = self.tickets.lock();
        if tickets.get(ticket).is_none_or(|known| known.owner != owner) {
            return false;
        }
        let forgotten = tickets.remove(ticket);
        drop(tickets);
        forgotten.inspect(|known| known.end.cancel()).is_some()
    }

    fn sweep(&self) {
        let is_over = |ticket: &Ticket| ticket.readers == 0 && ticket.touched.elapsed() > self.keep;
        let mut tickets = self.tickets.lock();
        let over: Vec<String> = tickets.iter().filter(|(_, known)| is_over(known)).map(|(id, _)| id.clone()).collect();
        let over: Vec<Option<Ticket>> = over.iter().map(|id| tickets.remove(id)).collect();
        drop(tickets);
        // What ends with a query may take its time.
        drop(over);
    }
}

/// Somebody who reads a result.
struct Reader {
    results: Arc<Results>,
    ticket: String,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut tickets = self.results.tickets.lock();
        let Some(known) = tickets.get_mut(&self.ticket) else { return };
        known.readers -= 1;
        known.touched = Instant::now();
    }
}

/// Rows as Flight sends them, until they end or are no longer wanted.
fn encoded(rows: Rows, reader: Reader, end: CancellationToken) -> Streamed {
    let Rows { schema, rows, with } = rows;
    let rows = rows.map_err(|error| {
        let status = Status::internal(format!("query execution failed: {}", message(&error)));
        FlightError::Tonic(Box::new(status))
    });
    let data = FlightDataEncoderBuilder::new().with_schema(schema).build(rows).map_err(Status::from);
    let data: Streamed = Box::pin(data);
    let state = Some((data, end, (reader, with)));
    let data = stream::unfold(state, |state| async move {
        let (mut data, end, kept) = state?;
        let next = tokio::select! {
            biased;
            () = end.cancelled() => return Some((Err(Status::cancelled("the query was cancelled")), None)),
            next = data.next() => next?,
        };
        let is_over = next.is_err();
        Some((next, (!is_over).then_some((data, end, kept))))
    });
    Box::pin(data)
}
