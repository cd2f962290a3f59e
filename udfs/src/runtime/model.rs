//! A model: its scorer, which is loaded when a row needs it, its queue and its device's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tamis_models::Scorer;

use super::device;
use super::loading::{Load, Loading, Parked, Unknown};
use super::metrics::nanos;
use super::prepare::{self, Pools};
use super::queue::Queue;
use super::recent::RecentScores;
use super::request::{Request, Ticket};
use crate::error::Error;

/// A model, shared by all who use it.
#[derive(Debug)]
pub(super) struct Model {
    id: u64,
    name: String,
    loading: Loading,
    queue: Queue,
    pools: &'static Pools,
    forward_nanos: AtomicU64,
    forward_rows: AtomicU64,
    recent: RecentScores,
}

/// Keeps the model in use; the device's thread ends with the last handle.
#[derive(Debug)]
pub(super) struct ModelHandle(Arc<Model>);

impl ModelHandle {
    /// A model that `load` will load when a row needs it.
    pub(super) fn new(name: String, load: Box<Load>) -> Result<Self, Error> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let pools = prepare::pools().map_err(|reason| Error::Threads { model: name.clone(), reason })?;
        Ok(Self(Arc::new(Model {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name,
            loading: Loading::new(load),
            queue: Queue::default(),
            pools,
            forward_nanos: AtomicU64::new(0),
            forward_rows: AtomicU64::new(0),
            recent: RecentScores::default(),
        })))
    }

    pub(super) fn model(&self) -> &Arc<Model> {
        &self.0
    }

    /// Puts a request's rows into the queue.
    pub(super) fn submit(&self, request: Arc<Request>, rows: Vec<usize>) {
        if !rows.is_empty() {
            self.0.spawn(self.0.queue.submit(request, rows));
        }
    }

    /// Drops what waits for a cancelled request.
    pub(super) fn purge(&self, request: &Request) {
        request.known.query.purge();
        self.0.spawn(self.0.queue.purge());
    }

    /// Whether the weights are loaded.
    pub(super) fn is_loaded(&self) -> bool {
        self.0.scorer().is_some()
    }
}

impl Drop for ModelHandle {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl Model {
    /// Tells this model from all others of the process.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The model as the user named it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The scorer, if it is loaded.
    pub(super) fn scorer(&self) -> Option<&Arc<dyn Scorer>> {
        self.loading.scorer()
    }

    /// Its recent scores.
    pub(super) fn recent(&self) -> &RecentScores {
        &self.recent
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Looks rows up and prepares them, on other threads: rows that the queue has put in flight.
    pub(super) fn spawn(self: &Arc<Self>, rows: Vec<Ticket>) {
        for ticket in rows {
            self.pools.begin(self.clone(), ticket);
        }
    }

    /// Lets a row wait until the model is loaded; the first one sets the load going.
    pub(super) fn park(self: &Arc<Self>, row: Unknown) {
        match self.loading.park(row) {
            Parked::Loaded(row) => self.pools.prepare(self.clone(), row),
            Parked::Waits(false) => {}
            Parked::Waits(true) => {
                let model = self.clone();
                let thread = thread::Builder::new().name("tamis-device".to_string()).spawn(move || model.run());
                if let Err(e) = thread {
                    self.fail_load(&Error::Threads { model: self.name.clone(), reason: e.to_string() });
                }
            }
        }
    }

    /// The device's thread: loads the model and runs it. A load that fails ends the thread; another row tries anew.
    fn run(self: &Arc<Self>) {
        match self.loading.load(&self.name) {
            Ok(scorer) => {
                for row in self.loading.end(Some(scorer.clone())) {
                    self.pools.prepare(self.clone(), row);
                }
                device::run(self, scorer.as_ref());
            }
            Err(error) => self.fail_load(&error),
        }
    }

    fn fail_load(self: &Arc<Self>, error: &Error) {
        let parked = self.loading.end(None);
        let rows = parked.len();
        for row in parked {
            row.owner.fail_requests(error);
        }
        let mut next = self.queue.purge();
        next.extend(self.queue.discard(rows));
        self.spawn(next);
    }

    /// Notes how long a forward pass took.
    pub(super) fn note_pass(&self, rows: usize, time: Duration) {
        self.forward_nanos.fetch_add(nanos(time), Ordering::Relaxed);
        self.forward_rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// The device's time for a row, over all that this process has scored with the model.
    pub(super) fn time_a_row(&self) -> Option<Duration> {
        let rows = self.forward_rows.load(Ordering::Relaxed);
        self.forward_nanos.load(Ordering::Relaxed).checked_div(rows).map(Duration::from_nanos)
    }
}
