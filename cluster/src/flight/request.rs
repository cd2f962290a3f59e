//! What is known of the request that is being answered, wherever in its handling.

use std::sync::Arc;

use parking_lot::Mutex;
use tamis_udfs::reach::Reach;
use tonic::Status;

use super::results::Rows;
use crate::access::Caller;

tokio::task_local! {
    static CURRENT: Arc<RequestInfo>;
}

/// A request.
#[derive(Debug)]
pub(super) struct RequestInfo {
    /// Who has sent it.
    pub(super) caller: Caller,
    /// What its queries may reach.
    pub(super) reach: Reach,
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
    /// Why it is refused.
    refusal: Mutex<Option<Status>>,
}

impl RequestInfo {
    pub(super) fn new(caller: Caller, reach: Reach, session: String, query: Option<String>) -> Self {
        let owner = format!("{caller:?}");
        Self {
            caller,
            reach,
            session,
            owner,
            sql: String::new(),
            query,
            rows: Mutex::default(),
            refusal: Mutex::default(),
        }
    }

    /// The same, for a statement.
    pub(super) fn of(&self, sql: &str) -> Arc<Self> {
        let (caller, reach) = (self.caller.clone(), self.reach.clone());
        let new = Self::new(caller, reach, self.session.clone(), self.query.clone());
        Arc::new(Self { sql: sql.to_string(), ..new })
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

    /// Notes why the request is refused, where that is no error of its query.
    pub(super) fn refuse(&self, status: Status) {
        *self.refusal.lock() = Some(status);
    }

    /// Why the request is refused, once.
    pub(super) fn take_refusal(&self) -> Option<Status> {
        self.refusal.lock().take()
    }

    /// The rows that answer the request, once.
    pub(super) fn take_rows(&self) -> Option<Rows> {
        self.rows.lock().take()
    }
}
