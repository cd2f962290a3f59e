//! What is known of the request that is being answered, wherever in its handling.

use std::sync::Arc;

use parking_lot::Mutex;

tokio::task_local! {
    static CURRENT: Arc<RequestInfo>;
}

/// A request.
#[derive(Debug, Default)]
pub(super) struct RequestInfo {
    /// The session that it belongs to.
    pub(super) session: String,
    /// Whose request it is: what tickets are given out to.
    pub(super) owner: String,
    /// The statement that is run, if it is known.
    pub(super) sql: String,
    /// The id that the client has given its query.
    pub(super) query: Option<String>,
    /// The job that has run for it.
    job: Mutex<Option<String>>,
}

impl RequestInfo {
    pub(super) fn new(session: String, owner: String, query: Option<String>) -> Self {
        Self { session, owner, query, ..Self::default() }
    }

    /// The same, for a statement.
    pub(super) fn of(&self, sql: &str) -> Arc<Self> {
        let (session, owner) = (self.session.clone(), self.owner.clone());
        Arc::new(Self { session, owner, sql: sql.to_string(), query: self.query.clone(), job: Mutex::default() })
    }

    /// The request that the current task answers.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Answers the request with `work`.
    pub(super) async fn answer<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> T {
        CURRENT.scope(Arc::clone(self), work).await
    }

    /// Notes the job that has run for the request.
    pub(super) fn set_job(&self, job: &str) {
        *self.job.lock() = Some(job.to_string());
    }

    /// The job that has run for the request.
    pub(super) fn job(&self) -> Option<String> {
        self.job.lock().clone()
    }
}
