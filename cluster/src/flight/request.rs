//! What is known of the request that is being answered, wherever in its handling.

use std::sync::Arc;

use parking_lot::Mutex;

use super::results::Rows;

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
    /// The rows that answer it.
    rows: Mutex<Option<Rows>>,
}

impl RequestInfo {
    pub(super) fn new(session: String, owner: String, query: Option<String>) -> Self {
        Self { session, owner, query, ..Self::default() }
    }

    /// The same, for a statement.
    pub(super) fn of(&self, sql: &str) -> Arc<Self> {
        let (session, owner) = (self.session.clone(), self.owner.clone());
        Arc::new(Self { session, owner, sql: sql.to_string(), query: self.query.clone(), rows: Mutex::default() })
    }

    /// The request that the current task answers.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Answers the request with `work`.
    pub(super) async fn answer<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> T {
        CURRENT.scope(Arc::clone(self), work).await
    }

    /// Notes the rows that answer the request.
    pub(super) fn set_rows(&self, rows: Rows) {
        *self.rows.lock() = Some(rows);
    }

    /// The rows that answer the request, once.
    pub(super) fn take_rows(&self) -> Option<Rows> {
        self.rows.lock().take()
    }
}
