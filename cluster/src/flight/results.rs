//! Results that wait to be fetched.
//!
//! A client gets tickets that tell nothing but themselves: it can fetch what it was given, and nobody else can. The data are
//! removed when they have been fetched or nobody comes for them, not while somebody reads.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow_flight::FlightData;
use futures::Stream;
use parking_lot::Mutex;
use tonic::Status;

use crate::access::random_token;
use crate::scheduler::Scheduler;

/// How often is looked for what nobody comes for.
const LOOKS: Duration = Duration::from_secs(5);
/// A result that was read to its end is kept for so long, for clients that ask again.
const KEEP_READ: Duration = Duration::from_secs(30);

/// The tickets of a server.
pub(super) struct Results {
    scheduler: Scheduler,
    keep: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tickets: HashMap<String, Ticket>,
    groups: HashMap<u64, Group>,
    next: u64,
}

/// A ticket that was given out.
#[derive(Clone)]
struct Ticket {
    session: String,
    group: u64,
    /// What Ballista's frontend knows it by.
    handle: bytes::Bytes,
}

/// The tickets of one result.
struct Group {
    job: Option<String>,
    tickets: Vec<String>,
    unread: HashSet<String>,
    readers: usize,
    touched: Instant,
}

impl Results {
    pub(super) fn start(scheduler: Scheduler, keep: Duration) -> Arc<Self> {
        let results = Arc::new(Self { scheduler, keep, state: Mutex::default() });
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

    /// Tickets for these handles of one result.
    pub(super) fn seal(
        &self,
        session: &str,
        job: Option<String>,
        handles: Vec<bytes::Bytes>,
    ) -> Result<Vec<String>, Status> {
        let mut state = self.state.lock();
        let group = state.next;
        state.next += 1;
        let tickets: Result<Vec<String>, _> = handles.iter().map(|_| random_token()).collect();
        let tickets = tickets.map_err(|e| Status::internal(e.to_string()))?;
        for (ticket, handle) in tickets.iter().zip(handles) {
            state.tickets.insert(ticket.clone(), Ticket { session: session.into(), group, handle });
        }
        let unread = tickets.iter().cloned().collect();
        let new = Group { job, tickets: tickets.clone(), unread, readers: 0, touched: Instant::now() };
        state.groups.insert(group, new);
        Ok(tickets)
    }

    /// What a ticket of this session stands for. The result stays while the reader is kept.
    pub(super) fn open(self: &Arc<Self>, session: &str, ticket: &str) -> Option<(bytes::Bytes, Reader)> {
        let mut state = self.state.lock();
        let Ticket { group, handle, .. } = state.tickets.get(ticket).filter(|known| known.session == session)?.clone();
        let of_group = state.groups.get_mut(&group)?;
        of_group.readers += 1;
        of_group.touched = Instant::now();
        Some((handle, Reader { results: Arc::clone(self), group, ticket: ticket.to_string(), is_read: false }))
    }

    /// Forgets a result of this session by one of its tickets; whether there was one.
    pub(super) fn forget(&self, session: &str, ticket: &str) -> bool {
        let mut state = self.state.lock();
        let Some(known) = state.tickets.get(ticket).filter(|known| known.session == session) else { return false };
        let group = known.group;
        self.remove(&mut state, group);
        true
    }

    fn sweep(&self) {
        let mut state = self.state.lock();
        let is_over = |group: &Group| {
            let keep = if group.unread.is_empty() { KEEP_READ.min(self.keep) } else { self.keep };
            group.readers == 0 && group.touched.elapsed() > keep
        };
        let over: Vec<u64> = state.groups.iter().filter(|(_, group)| is_over(group)).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|group| self.remove(&mut state, group));
    }

    fn remove(&self, state: &mut State, group: u64) {
        let Some(removed) = state.groups.remove(&group) else { return };
        removed.tickets.iter().for_each(|ticket| drop(state.tickets.remove(ticket)));
        if let Some(job) = removed.job {
            log::debug!("job {job}: its results are removed");
            self.scheduler.clean_up(job.as_str().into());
        }
    }
}

/// Somebody who reads a result.
pub(super) struct Reader {
    results: Arc<Results>,
    group: u64,
    ticket: String,
    is_read: bool,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.results.state.lock();
        let Some(group) = state.groups.get_mut(&self.group) else { return };
        group.readers -= 1;
        group.touched = Instant::now();
        if self.is_read {
            group.unread.remove(&self.ticket);
        }
    }
}

/// A stream of results that keeps them while it is read.
pub(super) struct Kept {
    stream: Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>,
    reader: Reader,
}

impl Kept {
    pub(super) fn new(stream: Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>, reader: Reader) -> Self {
        Self { stream, reader }
    }
}

impl Stream for Kept {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.as_mut().poll_next(cx);
        if matches!(polled, Poll::Ready(None)) {
            self.reader.is_read = true;
        }
        polled
    }
}
