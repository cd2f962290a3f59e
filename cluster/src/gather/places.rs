//! Where the rows of a part's tasks are.

use std::sync::Arc;

use ballista_core::serde::scheduler::PartitionLocation;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Where the rows of a task are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Nowhere yet.
    Awaited,
    /// On an executor.
    At(Arc<PartitionLocation>),
    /// They have been read.
    Read,
}

/// Where the rows of all tasks of a part are, by partition.
#[derive(Debug)]
pub(super) struct Places {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    places: Vec<Place>,
    /// Why no more of them will be found.
    failed: Option<String>,
}

impl Places {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            state: Mutex::new(State { places: vec![Place::Awaited; partitions], failed: None }),
            changed: Notify::new(),
        }
    }

    pub(super) fn is_awaited(&self, partition: usize) -> bool {
        matches!(self.state.lock().places.get(partition), Some(Place::Awaited))
    }

    pub(super) fn set(&self, partition: usize, place: Place) {
        if let Some(known) = self.state.lock().places.get_mut(partition) {
            *known = place;
        }
        self.changed.notify_waiters();
    }

    /// Notes that what is awaited will not come.
    pub(super) fn fail(&self, reason: String) {
        self.state.lock().failed = Some(reason);
        self.changed.notify_waiters();
    }

    /// The partitions whose rows are where `is` says.
    pub(super) fn which(&self, is: impl Fn(&Place) -> bool) -> Vec<usize> {
        let state = self.state.lock();
        state.places.iter().enumerate().filter(|(_, place)| is(place)).map(|(partition, _)| partition).collect()
    }

    /// Waits until the rows of a partition are no longer where they were.
    pub(super) async fn left(&self, partition: usize, location: &Arc<PartitionLocation>) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let is_there = match self.state.lock().places.get(partition) {
                Some(Place::At(there)) => Arc::ptr_eq(there, location),
                _ => false,
            };
            if !is_there {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the rows of a partition are somewhere; `Err`: why they will not be.
    pub(super) async fn found(&self, partition: usize) -> Result<Arc<PartitionLocation>, String> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state.lock();
                match state.places.get(partition) {
                    Some(Place::At(location)) => return Ok(Arc::clone(location)),
                    Some(Place::Awaited) => {
                        if let Some(reason) = &state.failed {
                            return Err(reason.clone());
                        }
                    }
                    // Whoever reads a partition again begins its task again.
                    _ => return Err(format!("the rows of task {partition} were read")),
                }
            }
            changed.await;
        }
    }
}
