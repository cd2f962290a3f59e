//! How often something was refused, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A password, a token or a session was not right.
    Credentials,
    /// A query asked for what its user may not reach or do.
    Rights,
    /// A user had too many queries.
    Limits,
}

impl Reason {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Credentials, Self::Rights, Self::Limits];

    /// Its name among the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Rights => "rights",
            Self::Limits => "limits",
        }
    }
}

/// Counts what was refused.
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; Reason::ALL.len()]);

impl Refusals {
    /// Counts one.
    pub(crate) fn count(&self, reason: Reason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}
