//! The thread of a cache: it alone reads and writes the folder or the store.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use datafusion::arrow::buffer::Buffer;
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::error::CacheError;
use super::model::{Line, ModelScores};
use super::name::{SegmentName, now};
use super::place::{Listed, Place};
use super::segment::{Segment, encode};
use super::{ScoreCache, segment, trouble, upkeep};

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Command {
    /// There is something to do in a while.
    Wake,
    /// So much waits that it is to be written now.
    Full,
    /// A model is asked for the first time.
    Open(Arc<ModelScores>),
    /// Everything is to be written now, and the sender told when it is. With time left, the cache is tidied as well.
    Flush(Instant, Sender<()>),
}

/// What leaves less time than this to a flush is not worth beginning with.
const UPKEEP: Duration = Duration::from_secs(1);

/// What a killed writer has left is removed when it is so old: no write takes as long.
const STALE: Duration = Duration::from_secs(3_600);

/// A write that failed is tried again after so long at most.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The thread's state.
#[derive(Debug)]
pub(super) struct Worker {
    place: Arc<Place>,
    max_bytes: Arc<AtomicU64>,
    models: Arc<Mutex<Vec<Arc<ModelScores>>>>,
    line: Arc<Line>,
    runtime: Runtime,
    next_write: Option<Instant>,
    next_refresh: Option<Instant>,
    /// How many writes have failed in a row.
    failures: u32,
    /// Whether something has been written since the cache was last tidied.
    is_untidy: bool,
    /// After a merge that could not be written, the next one waits.
    no_merge_before: Option<Instant>,
    /// Segments that the last listing had not: other files may be merged while one is listed, so that neither a segment nor
    /// the one that it is now a part of appears. One that is absent twice is gone.
    absent: HashSet<(String, SegmentName)>,
    /// Damaged segments that could not be removed.
    damaged: HashSet<(String, SegmentName)>,
}

impl Worker {
    pub(super) fn new(cache: &ScoreCache, runtime: Runtime) -> Self {
        Self {
            place: Arc::clone(&cache.place),
            max_bytes: Arc::clone(&cache.max_bytes),
            models: Arc::clone(&cache.models),
            line: Arc::clone(&cache.line),
            runtime,
            next_write: None,
            next_refresh: None,
            failures: 0,
            is_untidy: false,
            no_merge_before: None,
            absent: HashSet::new(),
            damaged: HashSet::new(),
        }
    }

    /// Serves until the process ends.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let due = self.next_write.into_iter().chain(self.next_refresh).min();
            let command = match due {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => commands.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match command {
                Ok(Command::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Full) if self.failures == 0 => self.next_write = Some(Instant::now()),
                Ok(Command::Full) => {}
                Ok(Command::Open(model)) => self.open(&model),
                Ok(Command::Flush(deadline, done)) => self.flush(deadline, &done),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.work();
        }
    }

    /// Does what is due, and notes when the rest is.
    fn work(&mut self) {
        let now = Instant::now();
        if self.next_write.is_none() && self.line.is_dirty.load(Ordering::Relaxed) {
            self.next_write = Some(now + self.write_interval());
        }
        if self.next_refresh.is_none() && self.line.is_used.load(Ordering::Relaxed) {
            self.next_refresh = Some(now + self.refresh_interval());
        }
        if self.next_write.is_some_and(|due| due <= now) {
            self.write();
        }
        if self.next_refresh.is_some_and(|due| due <= now) {
            self.refresh();
        }
    }

    fn write_interval(&self) -> Duration {
        Duration::from_secs(if self.place.is_local() { 1 } else { 10 })
    }

    fn refresh_interval(&self) -> Duration {
        Duration::from_secs(if self.place.is_local() { 2 } else { 30 })
    }

    /// Opens a model's segments; whoever asks for it waits.
    fn open(&mut self, model: &ModelScores) {
        match self.runtime.block_on(self.place.list(Some(&model.folder))) {
            Ok(listed) => self.install(model, &listed),
            Err(error) => trouble::access(&error),
        }
        model.set_open();
        // A process may live too short for the first refresh; what others have left is tidied before.
        self.next_refresh = Some(Instant::now());
    }

    fn flush(&mut self, deadline: Instant, done: &Sender<()>) {
        self.write();
        if self.is_untidy && deadline.saturating_duration_since(Instant::now()) > UPKEEP {
            self.refresh();
        }
        // The one who asked may have gone.
        let _ = done.send(());
    }

    /// Writes what waits, a segment a model.
    fn write(&mut self) {
        self.next_write = None;
        self.line.is_dirty.store(false, Ordering::Relaxed);
        let models = self.models.lock().clone();
        for model in &models {
            let Some(scores) = model.begin_writing() else { continue };
            let scores = scores.iter().map(|(key, known)| (*key, known.clone())).collect();
            match encode(scores).and_then(|content| self.store(model, now(), content)) {
                Ok(segment) => {
                    model.written(segment);
                    self.failures = 0;
                    self.is_untidy = true;
                }
                Err(error) => {
                    trouble::access(&error);
                    model.not_written();
                    self.failures += 1;
                    let pause = self.write_interval().saturating_mul(1 << self.failures.min(6));
                    self.next_write = Some(Instant::now() + pause.min(MAX_PAUSE));
                }
            }
        }
    }

    /// Writes a segment and opens it.
    fn store(&self, model: &ModelScores, created: u64, content: Vec<u8>) -> Result<Segment, CacheError> {
        let content = Bytes::from(content);
        let name = SegmentName::new(created, &content);
        self.runtime.block_on(async {
            self.place.write(&model.folder, &name, content.clone()).await?;
            let content = match self.place.is_local() {
                true => self.place.read(&model.folder, &name).await?,
                false => Buffer::from(content),
            };
            Segment::open(name, &content)
        })
    }

    /// Looks at what other processes have done, and keeps the cache small.
    fn refresh(&mut self) {
        self.next_refresh = None;
        self.line.is_used.store(false, Ordering::Relaxed);
        let listed = match self.runtime.block_on(self.place.list(None)) {
            Ok(listed) => listed,
            Err(error) => return trouble::access(&error),
        };
        let listed = self.evict(listed);
        let models = self.models.lock().clone();
        for model in &models {
            let own: Vec<_> = listed.iter().filter(|segment| segment.model == model.folder).cloned().collect();
            self.install(model, &own);
            if self.no_merge_before.is_none_or(|time| time <= Instant::now())
                && let Err(error) = self.merge(model)
            {
                trouble::access(&error);
                self.no_merge_before = Some(Instant::now() + MAX_PAUSE);
            }
        }
        self.place.tidy(|age| age > STALE);
        self.is_untidy = false;
    }

    /// Opens the segments that are new and forgets those that are gone.
    fn install(&mut self, model: &ModelScores, listed: &[Listed]) {
        let known: HashSet<_> = model.segments().iter().map(|segment| segment.name.clone()).collect();
        let mut new = Vec::new();
        for Listed { name, .. } in listed.iter().filter(|listed| !known.contains(&listed.name)) {
            let id = (model.folder.clone(), name.clone());
            if self.damaged.contains(&id) {
                continue;
            }
            match self.read(model, name) {
                Ok(segment) => new.push(Arc::new(segment)),
                // Merged or evicted since it was listed.
                Err(error) if error.is_gone() => self.next_refresh = Some(Instant::now() + Duration::from_millis(100)),
                Err(error) if error.is_damage() => {
                    trouble::damage(&error);
                    // In a store another reader may see what this one could not; a file is what it is.
                    if self.place.is_local() {
                        let _ = self.runtime.block_on(self.place.remove(&model.folder, name));
                    }
                    self.damaged.insert(id);
                }
                Err(error) => trouble::access(&error),
            }
        }
        let listed: HashSet<_> = listed.iter().map(|listed| &listed.name).collect();
        let mut gone = HashSet::new();
        for name in known.into_iter().filter(|name| !listed.contains(name)) {
            let id = (model.folder.clone(), name);
            if self.absent.remove(&id) {
                gone.insert(id.1);
            } else {
                self.absent.insert(id);
            }
        }
        self.absent.retain(|(folder, name)| *folder != model.folder || !listed.contains(name));
        model.replace(&gone, new);
    }

    fn read(&self, model: &ModelScores, name: &SegmentName) -> Result<Segment, CacheError> {
        let content = self.runtime.block_on(self.place.read(&model.folder, name))?;
        Segment::open(name.clone(), &content)
    }

    fn remove(&self, model: &ModelScores, name: &SegmentName) {
        if let Err(error) = self.runtime.block_on(self.place.remove(&model.folder, name)) {
            trouble::access(&error);
        }
    }

    /// Removes the oldest segments beyond the bound; gives those that are left.
    fn evict(&self, mut listed: Vec<Listed>) -> Vec<Listed> {
        let evicted = upkeep::to_evict(listed.clone(), self.max_bytes.load(Ordering::Relaxed));
        for segment in &evicted {
            if let Err(error) = self.runtime.block_on(self.place.remove(&segment.model, &segment.name)) {
                trouble::access(&error);
            }
        }
        for model in self.models.lock().iter() {
            let own = evicted.iter().filter(|segment| segment.model == model.folder);
            model.replace(&own.map(|segment| segment.name.clone()).collect(), Vec::new());
        }
        listed.retain(|segment| !evicted.contains(segment));
        listed
    }

    /// Merges small segments. The new one is in its place before the old ones go, so that another process may do the
    /// same at the same time: at worst a score is then in two segments.
    fn merge(&self, model: &ModelScores) -> Result<(), CacheError> {
        let segments = model.segments();
        let sizes: Vec<_> = segments.iter().map(|segment| (segment.name.clone(), segment.bytes)).collect();
        let chosen: HashSet<_> = upkeep::to_merge(&sizes, self.max_bytes.load(Ordering::Relaxed)).into_iter().collect();
        let Some(newest) = chosen.iter().map(|name| name.created).max() else { return Ok(()) };
        let inputs = segments.into_iter().filter(|segment| chosen.contains(&segment.name)).collect();
        let segment = self.store(model, newest, segment::merge(inputs)?)?;
        let gone: HashSet<_> = chosen.into_iter().filter(|name| *name != segment.name).collect();
        model.replace(&gone, vec![Arc::new(segment)]);
        gone.iter().for_each(|name| self.remove(model, name));
        Ok(())
    }
}
