//! The queries of a server: whose they are, and how many of a user's run at once.

mod owners;
mod places;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::access::Caller;
use owners::Owners;
pub use places::QueryLimits;
pub(crate) use places::TooMany;
use places::{Place, Places};

/// The queries of a server.
#[derive(Debug)]
pub(crate) struct Queries {
    next: AtomicU64,
    running: Mutex<BTreeMap<u64, Running>>,
    owners: Mutex<Owners>,
    places: Arc<Places>,
}

/// A query that runs.
#[derive(Debug, Clone)]
struct Running {
    caller: Caller,
    text: String,
    began: Instant,
    jobs: Vec<String>,
}

/// What is told of a query that runs.
#[derive(Debug, Clone)]
pub(crate) struct QueryShown {
    /// Whose it is.
    pub(crate) caller: Caller,
    /// Its text, as far as it is told.
    pub(crate) text: String,
    /// For how long it has run.
    pub(crate) time: Duration,
    /// Its jobs.
    pub(crate) jobs: Vec<String>,
}

impl Queries {
    /// No queries, of which so many may run.
    pub(crate) fn new(limits: QueryLimits) -> Self {
        Self {
            next: AtomicU64::new(0),
            running: Mutex::default(),
            owners: Mutex::default(),
            places: Arc::new(Places::new(limits)),
        }
    }

    /// Begins a query when its user may have one more; it lasts as long as what is given.
    pub(crate) async fn begin(self: &Arc<Self>, caller: &Caller, text: &str) -> Result<RunningQuery, TooMany> {
        let place = self.places.take(caller).await?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let running = Running { caller: caller.clone(), text: text.into(), began: Instant::now(), jobs: vec![] };
        self.running.lock().insert(id, running);
        Ok(RunningQuery { queries: Arc::clone(self), id, _place: place })
    }

    /// Notes a job of a query.
    pub(crate) fn note_job(&self, query: u64, caller: &Caller, job: &str) {
        if let Some(running) = self.running.lock().get_mut(&query) {
            running.jobs.push(job.into());
        }
        self.owners.lock().note(job, caller);
    }

    /// Whether a job is a caller's own.
    pub(crate) fn is_owner(&self, caller: &Caller, job: &str) -> bool {
        self.owners.lock().of(job) == Some(caller)
    }

    /// The queries that run, in the order in which they began.
    pub(crate) fn shown(&self) -> Vec<QueryShown> {
        let running = self.running.lock();
        let shown = running.values().map(|running| QueryShown {
            caller: running.caller.clone(),
            text: running.text.clone(),
            time: running.began.elapsed(),
            jobs: running.jobs.clone(),
        });
        shown.collect()
    }

    /// How many queries wait until their user may have one more.
    pub(crate) fn waiting(&self) -> usize {
        self.places.waiting()
    }

    /// How many have waited so far.
    pub(crate) fn waited(&self) -> u64 {
        self.places.waited()
    }
}

/// A query that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct RunningQuery {
    queries: Arc<Queries>,
    id: u64,
    _place: Place,
}

impl RunningQuery {
    /// What tells it from others.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        self.queries.running.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_query_is_shown_while_it_runs_and_its_jobs_are_its_users() {
        let queries = Arc::new(Queries::new(QueryLimits::default()));
        let (ada, eve) = (Caller::User("ada".into()), Caller::User("eve".into()));
        let query = queries.begin(&ada, "SELECT 1").await.unwrap();
        queries.note_job(query.id(), &ada, "j1");
        let shown = queries.shown();
        assert_eq!((shown.len(), shown[0].text.as_str(), &shown[0].caller), (1, "SELECT 1", &ada));
        assert_eq!(shown[0].jobs, ["j1"]);
        drop(query);
        assert!(queries.shown().is_empty());
        // Its jobs are told of for longer.
        assert!(queries.is_owner(&ada, "j1") && !queries.is_owner(&eve, "j1") && !queries.is_owner(&ada, "j2"));
    }
}
