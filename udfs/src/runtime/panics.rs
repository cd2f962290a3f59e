//! Containing panics of a model's code: nothing that a row holds may end the process or hang a query.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::shown;

/// Runs `work`; the message of its panic if it panics.
///
/// What `work` had borrowed must not be read after a panic unless a half-done change cannot harm it.
pub(super) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(message)
}

fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_string());
    shown::text(&text).into_owned()
}
