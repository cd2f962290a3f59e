//! A loaded model: its scorer, its queue and its device's thread.

use std::sync::Arc;
use std::thread;

use tamis_models::Scorer;

use super::prepare::Pools;
use super::queue::Queue;
use super::request::{Request, Ticket};
use super::{device, prepare};
use crate::error::Error;

/// A loaded model, shared by all who use it.
#[derive(Debug)]
pub(super) struct Model {
    name: String,
    scorer: Arc<dyn Scorer>,
    queue: Queue,
    pools: &'static Pools,
}

/// Keeps the device's thread running; the thread ends with the last handle.
#[derive(Debug)]
pub(super) struct ModelHandle(Arc<Model>);

impl ModelHandle {
    /// Starts the device's thread of a model that has been loaded.
    pub(super) fn start(name: String, scorer: Arc<dyn Scorer>) -> Result<Self, Error> {
        let failed = |reason: String| Error::Threads { model: name.clone(), reason };
        let pools = prepare::pools().map_err(failed)?;
        let model = Arc::new(Model { name: name.clone(), scorer, queue: Queue::default(), pools });
        let owned = model.clone();
        let thread = thread::Builder::new().name("tamis-device".to_string()).spawn(move || device::run(&owned));
        thread.map_err(|e| failed(e.to_string()))?;
        Ok(Self(model))
    }

    /// Puts a request's rows into the queue.
    pub(super) fn submit(&self, request: Arc<Request>, rows: Vec<usize>) {
        if !rows.is_empty() {
            self.0.spawn(self.0.queue.submit(request, rows));
        }
    }

    /// Drops what waits for cancelled requests.
    pub(super) fn purge(&self) {
        self.0.spawn(self.0.queue.purge());
    }

    /// The model as the user named it.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }
}

impl Drop for ModelHandle {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl Model {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn scorer(&self) -> &dyn Scorer {
        self.scorer.as_ref()
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Prepares rows that the queue has put in flight, on other threads.
    pub(super) fn spawn(self: &Arc<Self>, rows: Vec<Ticket>) {
        for ticket in rows {
            self.pools.spawn(self.clone(), ticket);
        }
    }
}
