//! What the runtime counts for a consumer.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Counts of one consumer of a model, shared with the runtime.
///
/// A row that is not NULL and is answered is counted once in `rows_scored` (the model itself did it), `cache_hits` or
/// `rows_shared`, or else only in `rows_failed`; a failure that was remembered or shared is counted there as well.
#[derive(Debug, Default)]
pub struct ScoringMetrics {
    /// Rows handed to the model's forward pass.
    pub model_calls: AtomicU64,
    /// Rows that the model scored.
    pub rows_scored: AtomicU64,
    /// Rows that could not be scored.
    pub rows_failed: AtomicU64,
    /// Rows whose outcome the score cache knew.
    pub cache_hits: AtomicU64,
    /// Rows that were looked up in the score cache in vain.
    pub cache_misses: AtomicU64,
    /// Rows that took the outcome of another row of the query with the same content.
    pub rows_shared: AtomicU64,
    /// Images that went through the vision tower. Counted for the oldest row of a pass.
    pub images_encoded: AtomicU64,
    /// Positions of the language model's sequence that held a token of this consumer's rows.
    pub tokens: AtomicU64,
    /// Forward passes that held at least one of this consumer's rows.
    pub batches: AtomicU64,
    /// CPU time spent on preparing, summed over threads, in nanoseconds.
    pub prepare_nanos: AtomicU64,
    /// Time of the forward passes, in nanoseconds, shared out by rows where a pass held other consumers' rows too.
    pub forward_nanos: AtomicU64,
    /// Time for which the device waited for rows while some were on their way, in nanoseconds. Counted for the oldest
    /// row of the pass that ended the wait.
    pub device_idle_nanos: AtomicU64,
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
