//! What goes wrong with a cache is told once a process: a query never fails for it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::CacheError;

static DAMAGE: AtomicBool = AtomicBool::new(false);
static ACCESS: AtomicBool = AtomicBool::new(false);

/// Tells of a damaged segment.
pub(super) fn damage(error: &CacheError) {
    tell(&DAMAGE, error, "it is left out, and its scores are computed anew");
}

/// Tells that the cache cannot be read or written.
pub(super) fn access(error: &CacheError) {
    tell(&ACCESS, error, "the query goes on without, and scores may have to be computed anew");
}

fn tell(told: &AtomicBool, error: &CacheError, consequence: &str) {
    let level = if told.swap(true, Ordering::Relaxed) { log::Level::Debug } else { log::Level::Warn };
    log::log!(level, "{error}; {consequence}");
}
