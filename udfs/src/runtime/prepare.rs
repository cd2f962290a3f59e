//! What is done for rows off the device's thread: fetching, looking up, decoding, resizing, tokenising.
//!
//! Files that a row names are fetched on threads of their own, many more than there are cores: they wait for disks and
//! servers, and decoding shall not wait with them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;
use std::time::Instant;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tamis_models::{Prepared, Sample, SampleError, Scorer};

use super::Outcome;
use super::known::Owner;
use super::loading::Unknown;
use super::metrics::nanos;
use super::model::Model;
use super::panics::contained;
use super::request::{Ready, Source, Ticket};
use crate::cache::{KnownScore, ScoreKey};
use crate::columns::{ImageRef, Row};
use crate::fetch::{self, FetchError};
use crate::reach::Reach;

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
pub(super) type Fetched = Vec<Option<Vec<u8>>>;

impl Pools {
    /// Takes a row through all that is done for it here.
    pub(super) fn begin(&'static self, model: Arc<Model>, ticket: Ticket) {
        if !ticket.request.columns.names_files(ticket.row) {
            // First in, first out, from within the pool too: the oldest row is the one that is waited for.
            self.prepare.spawn_fifo(move || look_up(&model, ticket, Vec::new()));
            return;
        }
        self.fetch.spawn_fifo(move || {
            let fetched = match ticket.request.is_cancelled() {
                true => Ok(Vec::new()),
                false => contained(|| fetch_all(&ticket)).unwrap_or_else(|panic| Err(PrepareError::Panicked(panic))),
            };
            match fetched {
                Ok(fetched) => self.prepare.spawn_fifo(move || look_up(&model, ticket, fetched)),
                Err(reason) => refuse(&model, ticket, &reason),
            }
        });
    }

    /// Prepares a row that has waited for the model.
    pub(super) fn prepare(&'static self, model: Arc<Model>, row: Unknown) {
        self.prepare.spawn_fifo(move || prepare(&model, row));
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

/// Finishes a row that is known, lets one wait whose content is on its way, and prepares any other.
fn look_up(model: &Arc<Model>, ticket: Ticket, fetched: Fetched) {
    if ticket.request.is_cancelled() {
        drop(ticket);
        model.spawn(model.queue().discard(1));
        return;
    }
    let request = Arc::clone(&ticket.request);
    let started = Instant::now();
    let key = contained(|| Ok(ScoreKey::of(&sample(&ticket, &fetched)?, &request.settings.limits)));
    request.metrics.prepare_nanos.fetch_add(nanos(started.elapsed()), Ordering::Relaxed);
    match key.unwrap_or_else(|panic| Err(PrepareError::Panicked(panic))) {
        Err(reason) => refuse(model, ticket, &reason),
        Ok(key) => match request.known.look_up(ticket, key) {
            Some(owner) => prepare(model, Unknown { owner, fetched }),
            None => model.spawn(model.queue().discard(1)),
        },
    }
}

/// Ends a row of which not even the content is known.
fn refuse(model: &Arc<Model>, Ticket { request, row }: Ticket, reason: &PrepareError) {
    request.finish(row, Outcome::Failed(reason.to_string().into()), Source::Model);
    drop(request);
    model.spawn(model.queue().discard(1));
}

/// Prepares one row and hands it on; whatever happens, the row leaves this stage.
fn prepare(model: &Arc<Model>, row: Unknown) {
    let request = Arc::clone(row.owner.request());
    if request.is_cancelled() {
        drop(row);
        model.spawn(model.queue().discard(1));
        return;
    }
    let Some(scorer) = model.scorer() else { return model.park(row) };
    let Unknown { owner, fetched } = row;
    let started = Instant::now();
    let prepared = contained(|| prepare_sample(scorer.as_ref(), &owner, &fetched));
    request.metrics.prepare_nanos.fetch_add(nanos(started.elapsed()), Ordering::Relaxed);
    match prepared.unwrap_or_else(|panic| Err(PrepareError::Panicked(panic))) {
        Ok(sample) => return model.queue().ready(Ready { owner, sample }),
        Err(PrepareError::Sample(reason)) => owner.keep(KnownScore::Failed(reason.to_string().into())),
        Err(reason) => owner.fail_once(reason.to_string()),
    }
    model.spawn(model.queue().discard(1));
}

fn prepare_sample(scorer: &dyn Scorer, owner: &Owner, fetched: &Fetched) -> Result<Prepared, PrepareError> {
    Ok(scorer.prepare(&sample(owner.ticket(), fetched)?, &owner.request().settings.limits)?)
}

/// A row's content.
fn sample<'a>(ticket: &'a Ticket, fetched: &'a Fetched) -> Result<Sample<'a>, PrepareError> {
    let bytes = |position: usize, image| match image {
        ImageRef::Bytes(bytes) => bytes,
        ImageRef::Path(_) => fetched.get(position).and_then(Option::as_deref).unwrap_or_default(),
    };
    Ok(match ticket.request.columns.row(ticket.row) {
        // NULL rows are answered before they come here.
        Row::Null => return Err(SampleError::NoImage.into()),
        Row::Pair { image, text } => Sample::Pair { image: bytes(0, image), text },
        Row::Document { images, texts } => {
            let images = images.into_iter().enumerate().map(|(i, image)| Some(bytes(i, image?)));
            Sample::Document { images: images.collect(), texts }
        }
    })
}

fn fetch_all(ticket: &Ticket) -> Result<Fetched, PrepareError> {
    let reach = &ticket.request.settings.reach;
    match ticket.request.columns.row(ticket.row) {
        Row::Null => Ok(Vec::new()),
        Row::Pair { image, .. } => Ok(vec![fetch(image, None, reach)?]),
        Row::Document { images, texts } => {
            check_shape(&images, &texts, ticket.request.settings.limits.max_document_images)?;
            let places = images.iter().enumerate();
            places.map(|(i, image)| image.map_or(Ok(None), |image| fetch(image, Some(i), reach))).collect()
        }
    }
}

fn fetch(image: ImageRef<'_>, position: Option<usize>, reach: &Reach) -> Result<Option<Vec<u8>>, PrepareError> {
    let ImageRef::Path(name) = image else { return Ok(None) };
    fetch::read(name, reach).map(Some).map_err(|source| PrepareError::Fetch { position, source })
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
