//! The future of one `submit`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use datafusion::error::Result;

use super::Outcome;
use super::model::ModelHandle;
use super::request::{Reply, Request};
use crate::error::Error;

/// Waits for the outcomes of one `submit`; dropping it cancels the rows that have not reached the device.
#[derive(Debug)]
#[must_use = "dropping it cancels the rows"]
pub struct Submission {
    model: Arc<ModelHandle>,
    request: Arc<Request>,
    reply: Reply,
    answered: bool,
}

impl Submission {
    pub(super) fn new(model: Arc<ModelHandle>, request: Arc<Request>, reply: Reply) -> Self {
        Self { model, request, reply, answered: false }
    }

    /// Waits on this thread, which may belong to an async runtime: the answer depends on no runtime's progress.
    pub fn wait(mut self) -> Result<Vec<Outcome>> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(outcomes) => return outcomes,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Future for Submission {
    type Output = Result<Vec<Outcome>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map(|answer| {
            self.answered = true;
            let stopped = |_| Error::Stopped { model: self.model.model().name().to_string() };
            Ok(answer.map_err(stopped)??)
        })
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        if !self.answered {
            self.request.cancel();
            self.model.purge(&self.request);
        }
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
