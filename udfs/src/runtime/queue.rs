//! What waits for one model: rows to be prepared, and prepared rows for its device.
//!
//! A row passes three stages: it *waits* (nothing is held for it but its request), it is *in flight* (looked up, prepared
//! or being prepared: this is what costs memory), and it is *done*. The number in flight is bounded whatever callers
//! submit. Rows that wait for another row of the same content are in none of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::pack::{is_full, pack};
use super::request::{Ready, Request, Settings, Ticket};

/// How long the device waits for one more row to be prepared when it could already run some. Longer than decoding and
/// tokenising take; what takes longer than this (a slow server) shall not hold up the rows that are ready.
const LINGER: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    ready: Vec<Ready>,
    preparing: usize,
    on_device: usize,
    closed: bool,
    idle: Idle,
}

/// A request's rows that have not begun.
#[derive(Debug)]
struct Waiting {
    request: Arc<Request>,
    rows: std::vec::IntoIter<usize>,
}

/// Rows for one forward pass, oldest first.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: Vec<Ready>,
    /// For how long the device waited for them while rows were on their way.
    pub(super) idle: Duration,
}

/// A clock that runs while the device waits and rows are on their way to it.
#[derive(Debug, Default)]
struct Idle {
    device_waits: bool,
    running_since: Option<Instant>,
    time: Duration,
}

impl Queue {
    /// Adds a request's rows. The caller prepares the rows returned.
    pub(super) fn submit(&self, request: Arc<Request>, rows: Vec<usize>) -> Vec<Ticket> {
        let mut state = self.state.lock();
        if !state.closed {
            state.waiting.push_back(Waiting { request, rows: rows.into_iter() });
        }
        state.admit()
    }

    /// Adds rows that have waited for long, before all others. The caller prepares the rows returned.
    pub(super) fn put_back(&self, rows: Vec<Ticket>) -> Vec<Ticket> {
        let mut state = self.state.lock();
        if !state.closed {
            for Ticket { request, row } in rows.into_iter().rev() {
                state.waiting.push_front(Waiting { request, rows: vec![row].into_iter() });
            }
        }
        state.admit()
    }

    /// A row has been prepared.
    pub(super) fn ready(&self, row: Ready) {
        let mut state = self.state.lock();
        state.preparing -= 1;
        let refused = match state.closed {
            true => Some(row),
            false => {
                state.ready.push(row);
                None
            }
        };
        state.tick();
        drop(state);
        // Dropping a row may put others back into this queue.
        drop(refused);
        self.changed.notify_all();
    }

    /// Rows that were in flight need not be scored, or cannot. The caller prepares the rows returned.
    pub(super) fn discard(&self, rows: usize) -> Vec<Ticket> {
        let mut state = self.state.lock();
        state.preparing -= rows;
        let next = state.admit();
        drop(state);
        self.changed.notify_all();
        next
    }

    /// Rows have left the device. The caller prepares the rows returned.
    pub(super) fn done(&self, rows: usize) -> Vec<Ticket> {
        let mut state = self.state.lock();
        state.on_device -= rows;
        state.admit()
    }

    /// Drops the rows of cancelled requests. The caller prepares the rows returned.
    pub(super) fn purge(&self) -> Vec<Ticket> {
        let mut state = self.state.lock();
        state.waiting.retain(|w| !w.request.is_cancelled());
        let cancelled: Vec<Ready> = state.ready.extract_if(.., |ready| ready.owner.request().is_cancelled()).collect();
        let next = state.admit();
        drop(state);
        // Dropping a row may put others back into this queue.
        drop(cancelled);
        self.changed.notify_all();
        next
    }

    /// No request will come any more: what is left is dropped, and the device's thread ends.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let left = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.ready));
        drop(state);
        drop(left);
        self.changed.notify_all();
    }

    /// The rows of the next forward pass; `None` when the queue is closed. Blocks until there is a pass worth running: a
    /// full one, or a partial one when nothing is being prepared that could still join it. Rows of requests that were
    /// cancelled a moment ago may be among them.
    pub(super) fn next_batch(&self) -> Option<Batch> {
        let mut state = self.state.lock();
        let mut lingered = false;
        loop {
            if state.closed {
                return None;
            }
            let lengths: Vec<usize> = state.ready.iter().map(|r| r.sample.positions).collect();
            let Some(oldest) = state.ready.first() else {
                state.device_waits(true);
                self.changed.wait(&mut state);
                state.device_waits(false);
                lingered = false;
                continue;
            };
            let Settings { budget, prefetch, .. } = oldest.owner.request().settings;
            let chosen = pack(&lengths, budget);
            if lingered || state.preparing == 0 || is_full(&lengths, &chosen, budget, prefetch) {
                return Some(state.take(&chosen));
            }
            state.device_waits(true);
            lingered = self.changed.wait_for(&mut state, LINGER).timed_out();
            state.device_waits(false);
        }
    }
}

impl State {
    /// Puts as many waiting rows in flight as the bound allows, one of each request in turn.
    fn admit(&mut self) -> Vec<Ticket> {
        let bound = self.waiting.iter().map(|w| w.request.settings.prefetch).max().unwrap_or_default();
        let mut admitted = Vec::new();
        while self.preparing + self.ready.len() + self.on_device < bound {
            let Some(mut next) = self.waiting.pop_front() else { break };
            if next.request.is_cancelled() {
                continue;
            }
            let Some(row) = next.rows.next() else { continue };
            self.preparing += 1;
            admitted.push(Ticket { request: next.request.clone(), row });
            if next.rows.len() > 0 {
                self.waiting.push_back(next);
            }
        }
        self.tick();
        admitted
    }

    fn take(&mut self, chosen: &[usize]) -> Batch {
        let mut index = 0;
        let is_chosen = |_: &mut Ready| {
            index += 1;
            chosen.binary_search(&(index - 1)).is_ok()
        };
        let rows: Vec<Ready> = self.ready.extract_if(.., is_chosen).collect();
        self.on_device += rows.len();
        Batch { rows, idle: std::mem::take(&mut self.idle.time) }
    }

    fn device_waits(&mut self, waits: bool) {
        self.idle.device_waits = waits;
        self.tick();
    }

    /// Sets the idle clock going or stops it, after a change. When the rows on their way have come to an end without a
    /// pass, because all were known or failed, nobody waited for the device.
    fn tick(&mut self) {
        if !self.idle.device_waits && self.idle.running_since.is_none() {
            return;
        }
        let now = Instant::now();
        if let Some(since) = self.idle.running_since.take() {
            self.idle.time += now - since;
        }
        let has_work = !self.waiting.is_empty() || self.preparing > 0 || !self.ready.is_empty();
        match has_work {
            true if self.idle.device_waits => self.idle.running_since = Some(now),
            true => {}
            false => self.idle.time = Duration::ZERO,
        }
    }
}
