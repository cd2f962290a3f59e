//! Fetching from code that is not async.

use crate::LoadError;

/// Runs `work` on a small runtime of its own on a thread of its own and waits for it, so that it can be called from anywhere,
/// a thread of another runtime among them. `failed` makes an error of what keeps the work from running.
pub(super) fn block_on<T: Send>(
    work: impl Future<Output = Result<T, LoadError>> + Send,
    failed: impl Fn(Box<dyn std::error::Error + Send + Sync>) -> LoadError + Sync,
) -> Result<T, LoadError> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|e| failed(format!("starting a runtime: {e}").into()))?.block_on(work)
        });
        thread.join().unwrap_or_else(|_| Err(failed("the fetching thread panicked".into())))
    })
}
