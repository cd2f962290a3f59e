//! Sessions of clients, and the queries that run in them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use datafusion::prelude::SessionContext;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tamis_engine::counts::Counts;

/// The sessions and queries of a server.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// The contexts of sessions, by what tells the session.
    contexts: Mutex<HashMap<String, Weak<SessionContext>>>,
    /// The queries that clients have given an id.
    queries: Mutex<HashMap<String, QueryState>>,
}

/// How far a query is.
#[derive(Debug, Clone, Default)]
pub(super) struct QueryState {
    /// Whose query it is.
    pub(super) session: String,
    /// Its jobs: one for each part of it, and for tasks that were begun again.
    pub(super) jobs: Vec<String>,
    /// How many rows its scans have, if that is known.
    pub(super) rows: Option<u64>,
    /// Why tasks were begun again, the last time.
    pub(super) again: Option<String>,
}

/// What a client is told of its query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryProgress {
    /// Whether the query is known to run.
    pub is_running: bool,
    /// The rows that its scans have, if that is known.
    pub rows: Option<u64>,
    /// What its nodes have counted.
    pub counts: Counts,
    /// How many executors work.
    pub executors: usize,
    /// Why tasks of it were begun again, if they were.
    pub again: Option<String>,
}

impl Sessions {
    /// Notes the context of a session.
    pub(super) fn open(&self, session: &str, context: &Arc<SessionContext>) {
        let mut contexts = self.contexts.lock();
        contexts.retain(|_, context| context.strong_count() > 0);
        contexts.insert(session.to_string(), Arc::downgrade(context));
    }

    /// The context of a session, once something was asked in it.
    pub(super) fn context(&self, session: &str) -> Option<Arc<SessionContext>> {
        self.contexts.lock().get(session)?.upgrade()
    }

    /// Changes what is known of a query.
    pub(super) fn update_query(&self, id: &str, update: impl FnOnce(&mut QueryState)) {
        update(self.queries.lock().entry(id.to_string()).or_default());
    }

    /// Forgets a query.
    pub(super) fn end_query(&self, id: &str) {
        self.queries.lock().remove(id);
    }

    /// What is known of a query.
    pub(super) fn query(&self, id: &str) -> Option<QueryState> {
        self.queries.lock().get(id).cloned()
    }
}
