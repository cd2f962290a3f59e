//! Scores that have been computed before, by content: shared by all queries of this process, and with other processes
//! through a folder or an object store.
//!
//! Scores lie in immutable segments (`segment`), Arrow files in a folder a model, whose names say when they were written
//! and what their content's hash is (`name`). A score that is put is in memory (`model`); one thread (`worker`) writes
//! what is new as a segment, opens other processes' segments, merges small ones and removes the oldest (`upkeep`).
//! Nothing that happens to the files fails a query or gives a wrong score.

mod error;
mod inspect;
mod key;
mod merge;
mod model;
mod name;
mod place;
mod scores;
mod search;
mod segment;
#[cfg(test)]
mod tests;
mod trouble;
mod upkeep;
mod worker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use error::CacheError;
pub use inspect::{CacheInfo, Cleared, ModelInfo, clear, info};
pub use key::ScoreKey;
pub use model::ModelScores;
pub use place::Place;
pub use scores::{KnownScores, known_scores};

use crate::options::TamisOptions;
use model::Line;
use worker::{Command, Worker};

/// What is remembered of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum KnownScore {
    /// Its score.
    Score(f32),
    /// It cannot be scored, and why.
    Failed(Arc<str>),
}

/// The scores that this process shares with others through a folder or an object store.
#[derive(Debug)]
pub struct ScoreCache {
    place: Arc<Place>,
    max_bytes: Arc<AtomicU64>,
    models: Arc<Mutex<Vec<Arc<ModelScores>>>>,
    line: Arc<Line>,
}

/// The caches of this process by their place's name; `None` for one that cannot be used.
type Caches = HashMap<String, Option<Arc<ScoreCache>>>;

static CACHES: LazyLock<Mutex<Caches>> = LazyLock::new(Mutex::default);

/// A model's first user waits so long at most for its segments; they serve from when they are there.
const OPENING: Duration = Duration::from_secs(15);

impl ScoreCache {
    /// The cache that the options name, one a place in this process. `None` if `tamis.cache.path` is `off`, or after one
    /// warning if it cannot be used.
    pub fn open(options: &TamisOptions) -> Option<Arc<Self>> {
        let path = options.cache_path();
        let place = Place::parse(&path).unwrap_or_else(|error| {
            trouble::access(&error);
            None
        })?;
        let mut caches = CACHES.lock();
        let cache = caches.entry(place.name().to_string()).or_insert_with(|| {
            Self::start(place, options.cache_max_bytes()).map_err(|error| trouble::access(&error)).ok().map(Arc::new)
        });
        let cache = cache.clone()?;
        // The latest session that sets a bound decides: two bounds of one folder would evict for each other.
        cache.max_bytes.store(options.cache_max_bytes(), Ordering::Relaxed);
        Some(cache)
    }

    fn start(place: Place, max_bytes: u64) -> Result<Self, CacheError> {
        let name = place.name().to_string();
        let refused = |e: std::io::Error| CacheError::Place { place: name.clone(), reason: e.to_string() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let (sender, commands) = channel();
        let cache = Self {
            place: Arc::new(place),
            max_bytes: Arc::new(AtomicU64::new(max_bytes)),
            models: Arc::default(),
            line: Arc::new(Line::new(sender)),
        };
        let worker = Worker::new(&cache, runtime);
        let thread = std::thread::Builder::new().name("tamis-scores".to_string());
        thread.spawn(move || worker.run(&commands)).map_err(refused)?;
        Ok(cache)
    }

    /// The scores of the model with this fingerprint. May wait for the disk or the network for a bounded time the first
    /// time: call it off the async runtime.
    pub fn model(&self, fingerprint: &str) -> Arc<ModelScores> {
        let folder = name::model_folder(fingerprint);
        let mut models = self.models.lock();
        let found = models.iter().find(|model| model.folder == folder).cloned();
        let model = found.unwrap_or_else(|| {
            let model = Arc::new(ModelScores::new(folder, Arc::clone(&self.line)));
            models.push(Arc::clone(&model));
            self.line.send(Command::Open(Arc::clone(&model)));
            model
        });
        drop(models);
        model.wait_until_open(OPENING);
        model
    }

    /// Writes what is not written yet. False if that was not done within this time.
    pub fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let (sender, done) = channel();
        self.line.send(Command::Flush(deadline, sender));
        done.recv_timeout(within).is_ok()
    }

    /// Where it lies.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

/// Writes what is not written yet, within this time: for the end of a process or a query.
pub fn flush(within: Duration) {
    let deadline = Instant::now() + within;
    let caches: Vec<_> = CACHES.lock().values().flatten().cloned().collect();
    for cache in caches {
        if !cache.flush(deadline.saturating_duration_since(Instant::now())) {
            log::debug!("scores of the last seconds may not have been written to {}", cache.place.name());
        }
    }
}
