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
    /// The task has ended without any.
    None,
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

    pub(super) fn get(&self, partition: usize) -> Place {
        self.state.lock().places.get(partition).cloned().unwrap_or(Place::None)
    }

    pub(super) fn set(&self, partition: usize, place: Place) {
        if let Some(known) = self.state.lock().places.get_mut(partition) {
            *known = place;
        }
        self.changed.notify_waiters();
    }

    /// Notes that the rows of a partition were read from there.
    pub(super) fn set_read(&self, partition: usize) {
        self.set(partition, Place::Read);
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

    /// Waits until the rows of a partition are somewhere; `Err`: why they will not be.
    pub(super) async fn found(&self, partition: usize) -> Result<Option<Arc<PartitionLocation>>, String> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state.lock();
                match state.places.get(partition) {
                    Some(Place::At(location)) => return Ok(Some(Arc::clone(location))),
                    Some(Place::Awaited) => {
                        if let Some(reason) = &state.failed {
                            return Err(reason.clone());
                        }
                    }
                    _ => return Ok(None),
                }
            }
            changed.await;
        }
    }
}
