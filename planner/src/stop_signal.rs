//! Ending a plan from outside.

use std::sync::Arc;

use datafusion::prelude::SessionConfig;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Ends the nodes of a plan that runs where dropping its streams does not: a cluster's executor hands them to tasks of
/// their own. It travels as an extension of the session's configuration.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(CancellationToken);

impl StopSignal {
    /// The signal that a plan with this configuration listens to.
    pub fn of(config: &SessionConfig) -> Option<Arc<Self>> {
        config.get_extension()
    }

    /// Ends the plan: its score nodes fail at once, and what they have in flight is given up.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether the plan is to end.
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for the signal.
    pub fn stopped(&self) -> WaitForCancellationFutureOwned {
        self.0.clone().cancelled_owned()
    }
}
