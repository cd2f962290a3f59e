//! Preparing rows on CPU threads: fetching, decoding, resizing, tokenising.

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

/// One pool a process, whatever the number of models and queries: there are no more cores for more.
static POOL: LazyLock<Result<ThreadPool, String>> = LazyLock::new(|| {
    ThreadPoolBuilder::new()
        .num_threads(available_parallelism().map_or(1, usize::from))
        .thread_name(|number| format!("tamis-prepare-{number}"))
        .build()
        .map_err(|e| e.to_string())
});

/// The pool; why it could not be started otherwise.
pub(super) fn pool() -> Result<&'static ThreadPool, String> {
    POOL.as_ref().map_err(Clone::clone)
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
}

/// Prepares one row and hands it on; whatever happens, the row leaves this stage.
pub(super) fn run(model: &Arc<Model>, ticket: Ticket) {
    let request = &ticket.request;
    if request.is_cancelled() {
        model.spawn(model.queue().discard());
        return;
    }
    let started = Instant::now();
    let prepared = contained(|| {
        // NULL rows are answered before they come here.
        prepare(model.scorer(), &ticket).map_err(|e| e.to_string())
    });
    request.metrics.prepare_nanos.fetch_add(nanos(started.elapsed()), Ordering::Relaxed);
    match prepared.unwrap_or_else(|panic| Err(format!("preparing the row panicked: {panic}"))) {
        Ok(sample) => model.queue().ready(Ready { ticket, sample }),
        Err(reason) => {
            request.finish(ticket.row, Outcome::Failed(reason.into()));
            drop(ticket);
            model.spawn(model.queue().discard());
        }
    }
}

fn prepare(scorer: &dyn Scorer, ticket: &Ticket) -> Result<Prepared, PrepareError> {
    let limits = &ticket.request.settings.limits;
    match ticket.request.columns.row(ticket.row) {
        Row::Null => Err(SampleError::NoImage.into()),
        Row::Pair { image: ImageRef::Bytes(image), text } => Ok(scorer.prepare(&Sample::Pair { image, text }, limits)?),
        Row::Pair { image: ImageRef::Path(name), text } => {
            let image = fetch::read(name).map_err(|source| PrepareError::Fetch { position: None, source })?;
            Ok(scorer.prepare(&Sample::Pair { image: &image, text }, limits)?)
        }
        Row::Document { images, texts } => {
            check_shape(&images, &texts, limits.max_document_images)?;
            let fetched = fetch_all(&images)?;
            let bytes = images.iter().zip(&fetched);
            let images = bytes
                .map(|(image, fetched)| match image {
                    Some(ImageRef::Bytes(bytes)) => Some(*bytes),
                    Some(ImageRef::Path(_)) => fetched.as_deref(),
                    None => None,
                })
                .collect();
            Ok(scorer.prepare(&Sample::Document { images, texts }, limits)?)
        }
    }
}

/// Refuses what the model would refuse anyway before anything is fetched for it.
fn check_shape(images: &[Option<ImageRef<'_>>], texts: &[Option<&str>], limit: usize) -> Result<(), SampleError> {
    if images.len() != texts.len() {
        return Err(SampleError::UnequalLists { images: images.len(), texts: texts.len() });
    }
    let paths = images.iter().flatten().filter(|i| matches!(i, ImageRef::Path(_))).count();
    if paths > limit {
        return Err(SampleError::TooManyImages { found: images.iter().flatten().count(), limit });
    }
    if images.iter().flatten().next().is_none() {
        return Err(SampleError::NoImage);
    }
    Ok(())
}

fn fetch_all(images: &[Option<ImageRef<'_>>]) -> Result<Vec<Option<Vec<u8>>>, PrepareError> {
    let read = |(position, image): (usize, &Option<ImageRef<'_>>)| match image {
        Some(ImageRef::Path(name)) => {
            fetch::read(name).map(Some).map_err(|source| PrepareError::Fetch { position: Some(position), source })
        }
        _ => Ok(None),
    };
    images.iter().enumerate().map(read).collect()
}
