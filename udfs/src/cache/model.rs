//! What is known of one model's scores: what is not written yet, in memory, and the segments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};

use super::KnownScore;
use super::error::CacheError;
use super::key::ScoreKey;
use super::name::SegmentName;
use super::segment::Segment;
use super::worker::Command;

/// So many scores are written at once without waiting for the clock.
pub(super) const FULL: usize = 65_536;

/// Memory that scores may take which cannot be written: beyond, further ones are not remembered.
const MAX_WAITING: usize = 64 << 20;

/// A longer reason is not remembered.
const MAX_REASON: usize = 4_096;

/// What a score takes in memory, about, its reason aside.
const ENTRY: usize = 64;

/// What a cache's models and its thread share.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) commands: Sender<Command>,
    /// Scores in memory, and the bytes they take.
    entries: AtomicUsize,
    bytes: AtomicUsize,
    /// Whether there are scores to write, and the thread knows.
    pub(super) is_dirty: AtomicBool,
    /// Whether somebody has looked something up since the last look at other processes' segments.
    pub(super) is_used: AtomicBool,
}

type Scores = HashMap<ScoreKey, KnownScore>;

#[derive(Debug, Default)]
struct State {
    pending: Scores,
    /// What the thread is writing at the moment.
    writing: Arc<Scores>,
    segments: Vec<Arc<Segment>>,
}

/// What is known of one model's scores. Shared by all who ask; every method may be called from any thread.
#[derive(Debug)]
pub struct ModelScores {
    pub(super) folder: String,
    line: Arc<Line>,
    state: RwLock<State>,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Line {
    pub(super) fn new(commands: Sender<Command>) -> Self {
        Self {
            commands,
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            is_dirty: AtomicBool::new(false),
            is_used: AtomicBool::new(false),
        }
    }

    /// The thread has ended if this fails: nothing is written then, which loses no score that somebody waits for.
    pub(super) fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    fn raise(&self, flag: &AtomicBool) {
        if !flag.load(Ordering::Relaxed) && !flag.swap(true, Ordering::Relaxed) {
            self.send(Command::Wake);
        }
    }
}

impl ModelScores {
    pub(super) fn new(folder: String, line: Arc<Line>) -> Self {
        Self { folder, line, state: RwLock::default(), is_open: Mutex::new(false), opened: Condvar::new() }
    }

    /// What is known of a row. Never fails, never waits for the network.
    pub fn get(&self, key: &ScoreKey) -> Option<KnownScore> {
        self.line.raise(&self.line.is_used);
        let state = self.state.read();
        state
            .pending
            .get(key)
            .or_else(|| state.writing.get(key))
            .cloned()
            .or_else(|| state.segments.iter().find_map(|segment| segment.get(key)))
    }

    /// Remembers a row: found at once, written behind. A score that is not a finite number is not remembered.
    pub fn put(&self, key: ScoreKey, known: KnownScore) {
        let size = match &known {
            KnownScore::Score(score) if !score.is_finite() => return,
            KnownScore::Failed(reason) if reason.len() > MAX_REASON => return,
            known => size(known),
        };
        if self.line.bytes.load(Ordering::Relaxed) + size > MAX_WAITING {
            return;
        }
        // Counted before it can be found, so that whoever replaces or writes it never takes off what was not added.
        self.line.bytes.fetch_add(size, Ordering::Relaxed);
        let entries = self.line.entries.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(replaced) = self.state.write().pending.insert(key, known) {
            self.line.bytes.fetch_sub(self::size(&replaced), Ordering::Relaxed);
            self.line.entries.fetch_sub(1, Ordering::Relaxed);
        }
        self.line.raise(&self.line.is_dirty);
        if entries == FULL {
            self.line.send(Command::Full);
        }
    }

    /// Waits until the segments that exist have been opened, or this time has passed.
    pub(super) fn wait_until_open(&self, most: Duration) {
        let mut is_open = self.is_open.lock();
        self.opened.wait_while_for(&mut is_open, |is_open| !*is_open, most);
    }

    pub(super) fn set_open(&self) {
        *self.is_open.lock() = true;
        self.opened.notify_all();
    }

    /// The segments at this moment.
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        self.state.read().segments.clone()
    }

    /// All that is known at this moment.
    pub(super) fn snapshot(&self) -> Result<Vec<Arc<Segment>>, CacheError> {
        let state = self.state.read();
        let mut unwritten = Scores::clone(&state.writing);
        unwritten.extend(state.pending.iter().map(|(key, known)| (*key, known.clone())));
        let mut segments = state.segments.clone();
        drop(state);
        segments.push(Arc::new(Segment::unwritten(unwritten.into_iter().collect())?));
        Ok(segments)
    }

    /// Begins writing: what waits is handed out, and stays where `get` finds it.
    pub(super) fn begin_writing(&self) -> Option<Arc<Scores>> {
        let mut state = self.state.write();
        if state.pending.is_empty() {
            return None;
        }
        state.writing = Arc::new(std::mem::take(&mut state.pending));
        Some(Arc::clone(&state.writing))
    }

    /// Ends writing: the segment takes the place of what has been written.
    pub(super) fn written(&self, segment: Segment) {
        let mut state = self.state.write();
        // The same scores written twice make the same file.
        state.segments.retain(|known| known.name != segment.name);
        state.segments.push(Arc::new(segment));
        let written = std::mem::take(&mut state.writing);
        drop(state);
        self.line.entries.fetch_sub(written.len(), Ordering::Relaxed);
        self.line.bytes.fetch_sub(written.values().map(size).sum(), Ordering::Relaxed);
    }

    /// Ends writing without success: the scores wait again.
    pub(super) fn not_written(&self) {
        let mut state = self.state.write();
        let mut writing = Arc::unwrap_or_clone(std::mem::take(&mut state.writing));
        let before = writing.len() + state.pending.len();
        writing.extend(state.pending.drain());
        let twice = before - writing.len();
        state.pending = writing;
        drop(state);
        self.line.entries.fetch_sub(twice, Ordering::Relaxed);
        self.line.bytes.fetch_sub(twice * ENTRY, Ordering::Relaxed);
    }

    /// Adds segments and forgets others.
    pub(super) fn replace(&self, gone: &HashSet<SegmentName>, new: Vec<Arc<Segment>>) {
        let mut state = self.state.write();
        state.segments.retain(|segment| !gone.contains(&segment.name));
        for segment in new {
            if state.segments.iter().all(|known| known.name != segment.name) {
                state.segments.push(segment);
            }
        }
        // Large ones first: they know most.
        state.segments.sort_by_key(|segment| std::cmp::Reverse(segment.len()));
    }
}

fn size(known: &KnownScore) -> usize {
    match known {
        KnownScore::Score(_) => ENTRY,
        KnownScore::Failed(reason) => ENTRY + reason.len(),
    }
}
