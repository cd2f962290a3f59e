//! What waits for one model: rows to be prepared, and prepared rows for its device.
//!
//! A row passes three stages: it *waits* (nothing is held for it but its request), it is *in flight* (prepared, or being
//! prepared: this is what costs memory), and it is *done*. The number in flight is bounded whatever callers submit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::pack::{is_full, pack};
use super::request::{Ready, Request, Ticket};

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
}

/// A request's rows that have not begun.
#[derive(Debug)]
struct Waiting {
    request: Arc<Request>,
    rows: std::vec::IntoIter<usize>,
}

impl Queue {
    /// Adds a request's rows. The caller prepares the rows returned.
    pub(super) fn submit(&self, request: Arc<Request>, rows: Vec<usize>) -> Vec<Ticket> {
        let mut state = self.state.lock();
        state.waiting.push_back(Waiting { request, rows: rows.into_iter() });
        state.admit()
    }

    /// A row has been prepared.
    pub(super) fn ready(&self, row: Ready) {
        let mut state = self.state.lock();
        state.preparing -= 1;
        state.ready.push(row);
        drop(state);
        self.changed.notify_all();
    }

    /// A row could not be prepared, or was skipped. The caller prepares the rows returned.
    pub(super) fn discard(&self) -> Vec<Ticket> {
        let mut state = self.state.lock();
        state.preparing -= 1;
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
        state.ready.retain(|r| !r.ticket.request.is_cancelled());
        let next = state.admit();
        drop(state);
        self.changed.notify_all();
        next
    }

    /// No request will come any more: the device's thread ends.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// The rows of the next forward pass; `None` when the queue is closed. Blocks until there is a pass worth running: a
    /// full one, or a partial one when nothing is being prepared that could still join it. Rows of requests that were
    /// cancelled a moment ago may be among them.
    pub(super) fn next_batch(&self) -> Option<Vec<Ready>> {
        let mut state = self.state.lock();
        let mut lingered = false;
        loop {
            if state.closed {
                return None;
            }
            let lengths: Vec<usize> = state.ready.iter().map(|r| r.sample.positions).collect();
            let Some(oldest) = state.ready.first() else {
                self.changed.wait(&mut state);
                lingered = false;
                continue;
            };
            let budget = oldest.ticket.request.settings.budget;
            let chosen = pack(&lengths, budget);
            if lingered || state.preparing == 0 || is_full(&lengths, &chosen, budget) {
                return Some(state.take(chosen));
            }
            lingered = self.changed.wait_for(&mut state, LINGER).timed_out();
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
        admitted
    }

    fn take(&mut self, chosen: Vec<usize>) -> Vec<Ready> {
        let mut batch = Vec::with_capacity(chosen.len());
        let mut rest = Vec::with_capacity(self.ready.len());
        let mut next = chosen.into_iter().peekable();
        for (index, row) in self.ready.drain(..).enumerate() {
            if next.next_if_eq(&index).is_some() {
                batch.push(row);
            } else {
                rest.push(row);
            }
        }
        self.ready = rest;
        self.on_device += batch.len();
        batch
    }
}
