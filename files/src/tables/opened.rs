//! What a thread reads of a file, as a stream.

use datafusion::error::{DataFusionError, Result};
use futures::{Stream, stream};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

/// What a thread sends. If it panics, the stream ends with an error, not early.
pub(super) fn received<T>(receiver: Receiver<Result<T>>, thread: JoinHandle<()>) -> impl Stream<Item = Result<T>> {
    stream::unfold((receiver, Some(thread)), |(mut receiver, mut thread)| async move {
        if let Some(item) = receiver.recv().await {
            return Some((item, (receiver, thread)));
        }
        match thread.take()?.await {
            Ok(()) => None,
            Err(panic) => Some((Err(DataFusionError::ExecutionJoin(Box::new(panic))), (receiver, None))),
        }
    })
}
