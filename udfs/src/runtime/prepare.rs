//! Preparing rows off the device's thread: fetching, decoding, resizing, tokenising.
//!
//! Files that a row names are fetched on threads of their own, many more than there are cores: they wait for disks and
//! servers, and decoding shall not wait with them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;
use std::time::Instant;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tamis_models::{Prepared, Sample, SampleError, Scorer};

use super::model::Model;
use super::panics::contained;
use super::request::{Ready, Ticket};
use super::{Outcome, nanos};
use crate::columns::{ImageRef, Row};
use crate::fetch::{self, FetchError};

/// Files that are fetched at once.
const FETCHES: usize = 32;

/// A document may name so many times more files than images are scored of it: the model leaves out pictures of one pixel's
/// width or height (tracking pixels of web pages), which is seen only once they are here.
const FETCHED_PER_SCORED: usize = 4;

/// The threads of a process, whatever the number of models and queries: there are no more cores for more.
#[derive(Debug)]
pub(super) struct Pools {
    prepare: ThreadPool,
    fetch: ThreadPool,
}

static POOLS: LazyLock<Result<Pools, String>> = LazyLock::new(|| {
    let pool = |name: &'static str, threads| {
        let named = ThreadPoolBuilder::new().num_threads(threads).thread_name(move |n| format!("tamis-{name}-{n}"));
        named.build().map_err(|e| e.to_string())
    };
    Ok(Pools {
        prepare: pool("prepare", available_parallelism().map_or(1, usize::from))?,
        fetch: pool("fetch", FETCHES)?,
    })
});

/// The pools; why they could not be started otherwise.
pub(super) fn pools() -> Result<&'static Pools, String> {
    POOLS.as_ref().map_err(Clone::clone)
}

/// Files that were fetched for a row: one for each of its images, `None` where the column has the bytes.
type Fetched = Vec<Option<Vec<u8>>>;

impl Pools {
    /// Takes a row through all of its preparation.
    pub(super) fn spawn(&'static self, model: Arc<Model>, ticket: Ticket) {
        if !ticket.request.columns.names_files(ticket.row) {
            // First in, first out, from within the pool too: the oldest row is the one that is waited for.
            self.prepare.spawn_fifo(move || run(&model, ticket, |ticket| prepare(model.scorer(), ticket, &[])));
            return;
        }
        self.fetch.spawn_fifo(move || {
            let fetched = match ticket.request.is_cancelled() {
                true => Ok(Vec::new()),
                false => contained(|| fetch_all(&ticket)).unwrap_or_else(|panic| Err(PrepareError::Panicked(panic))),
            };
            self.prepare.spawn_fifo(move || run(&model, ticket, |ticket| prepare(model.scorer(), ticket, &fetched?)));
        });
    }
}

/// Why a row could not be prepared; the message is the row's reason.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error("image{}: {source}", position.map(|i| format!(" {i}")).unwrap_or_default())]
    Fetch {
        position: Option<usize>,
        #[source]
        source: FetchError,
    },
    #[error("preparing the row panicked: {0}")]
    Panicked(String),
}

/// Prepares one row and hands it on; whatever happens, the row leaves this stage.
fn run(model: &Arc<Model>, ticket: Ticket, prepare: impl FnOnce(&Ticket) -> Result<Prepared, PrepareError>) {
    let request = &ticket.request;
    if request.is_cancelled() {
        model.spawn(model.queue().discard());
        return;
    }
    let started = Instant::now();
    let prepared = contained(|| prepare(&ticket)).unwrap_or_else(|panic| Err(PrepareError::Panicked(panic)));
    request.metrics.prepare_nanos.fetch_add(nanos(started.elapsed()), Ordering::Relaxed);
    match prepared {
        Ok(sample) => model.queue().ready(Ready { ticket, sample }),
        Err(reason) => {
            request.finish(ticket.row, Outcome::Failed(reason.to_string().into()));
            drop(ticket);
            model.spawn(model.queue().discard());
        }
    }
}

fn prepare(scorer: &dyn Scorer, ticket: &Ticket, fetched: &[Option<Vec<u8>>]) -> Result<Prepared, PrepareError> {
    let limits = &ticket.request.settings.limits;
    let bytes = |position: usize, image| match image {
        ImageRef::Bytes(bytes) => bytes,
        ImageRef::Path(_) => fetched.get(position).and_then(Option::as_deref).unwrap_or_default(),
    };
    let sample = match ticket.request.columns.row(ticket.row) {
        // NULL rows are answered before they come here.
        Row::Null => return Err(SampleError::NoImage.into()),
        Row::Pair { image, text } => Sample::Pair { image: bytes(0, image), text },
        Row::Document { images, texts } => {
            let images = images.into_iter().enumerate().map(|(i, image)| Some(bytes(i, image?)));
            Sample::Document { images: images.collect(), texts }
        }
    };
    Ok(scorer.prepare(&sample, limits)?)
}

fn fetch_all(ticket: &Ticket) -> Result<Fetched, PrepareError> {
    match ticket.request.columns.row(ticket.row) {
        Row::Null => Ok(Vec::new()),
        Row::Pair { image, .. } => Ok(vec![fetch(image, None)?]),
        Row::Document { images, texts } => {
            check_shape(&images, &texts, ticket.request.settings.limits.max_document_images)?;
            let places = images.iter().enumerate();
            places.map(|(i, image)| image.map_or(Ok(None), |image| fetch(image, Some(i)))).collect()
        }
    }
}

fn fetch(image: ImageRef<'_>, position: Option<usize>) -> Result<Option<Vec<u8>>, PrepareError> {
    match image {
        ImageRef::Bytes(_) => Ok(None),
        ImageRef::Path(name) => fetch::read(name).map(Some).map_err(|source| PrepareError::Fetch { position, source }),
    }
}

/// Refuses what the model would refuse anyway, before anything is fetched for it.
fn check_shape(images: &[Option<ImageRef<'_>>], texts: &[Option<&str>], limit: usize) -> Result<(), SampleError> {
    if images.len() != texts.len() {
        return Err(SampleError::UnequalLists { images: images.len(), texts: texts.len() });
    }
    let found = images.iter().flatten().count();
    if found > limit.saturating_mul(FETCHED_PER_SCORED) {
        return Err(SampleError::TooManyImages { found, limit });
    }
    Ok(())
}
