//! Rows of the same content are scored once: the first one on its way owns the content, the others wait for its outcome.
//!
//! An outcome is looked for in the query's own rows first and then in the score cache. Only what follows from the content
//! is kept: scores, and failures of decoding, limits and text. What may be another time's success (a file that could not
//! be fetched, a device that failed, a panic) is told to the rows that wait and forgotten.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::Outcome;
use super::model::Model;
use super::request::{Request, Source, Ticket};
use crate::cache::{KnownScore, ModelScores, ScoreKey};
use crate::error::Error;

/// Outcomes that a query keeps of a model when there is no cache to keep them: about 150 MB when full. Beyond that the
/// oldest are forgotten, and a row of their content is scored again.
const KEPT: usize = 2_000_000;

/// The scores that the rows of one query share: rows with the same content are scored once.
#[derive(Debug)]
pub struct QueryScores {
    id: u64,
    /// By model.
    models: Mutex<HashMap<u64, Arc<SharedScores>>>,
}

/// Those of a new query.
impl Default for QueryScores {
    fn default() -> Self {
        Self::with_id(RandomState::new().hash_one(0))
    }
}

impl QueryScores {
    /// Those of the query of this id.
    pub fn with_id(id: u64) -> Self {
        Self { id, models: Mutex::default() }
    }

    /// Which query they are of: what tells another process which of its plans belong to one query.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn of_model(&self, model: &Arc<Model>) -> Arc<SharedScores> {
        let mut models = self.models.lock();
        Arc::clone(models.entry(model.id()).or_insert_with(|| Arc::new(SharedScores::new(Arc::clone(model)))))
    }
}

/// What the rows of one query know of a model's scores.
#[derive(Debug)]
pub(super) struct SharedScores {
    model: Arc<Model>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Contents that are on their way, and the rows that wait for them.
    open: HashMap<ScoreKey, Vec<Ticket>>,
    kept: Kept,
}

/// Outcomes that no cache keeps.
#[derive(Debug, Default)]
struct Kept {
    outcomes: HashMap<ScoreKey, KnownScore>,
    order: VecDeque<ScoreKey>,
}

impl Kept {
    fn insert(&mut self, key: ScoreKey, outcome: KnownScore, most: usize) {
        if self.outcomes.insert(key, outcome).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > most {
            let Some(oldest) = self.order.pop_front() else { break };
            self.outcomes.remove(&oldest);
        }
    }
}

enum Claim {
    /// The row goes on.
    Owned(Owner),
    /// Another row is on its way; this one takes its outcome.
    Waits,
    /// Another row has been there.
    Kept(Ticket, KnownScore),
}

impl SharedScores {
    fn new(model: Arc<Model>) -> Self {
        Self { model, state: Mutex::default() }
    }

    /// The model whose scores these are.
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    fn claim(&self, ticket: Ticket, key: ScoreKey) -> Claim {
        let mut state = self.state.lock();
        if let Some(outcome) = state.kept.outcomes.get(&key) {
            return Claim::Kept(ticket, outcome.clone());
        }
        if let Some(waiting) = state.open.get_mut(&key) {
            waiting.push(ticket);
            return Claim::Waits;
        }
        state.open.insert(key, Vec::new());
        Claim::Owned(Owner { ticket, key, is_done: false })
    }

    /// Ends a content's way; gives the rows that wait for it.
    fn end(&self, key: &ScoreKey, keep: Option<KnownScore>) -> Vec<Ticket> {
        let mut state = self.state.lock();
        if let Some(outcome) = keep {
            state.kept.insert(*key, outcome, KEPT);
        }
        state.open.remove(key).unwrap_or_default()
    }

    /// Lets go of the waiting rows of cancelled requests.
    pub(super) fn purge(&self) {
        self.state.lock().open.values_mut().for_each(|waiting| waiting.retain(|t| !t.request.is_cancelled()));
    }
}

#[cfg(test)]
impl SharedScores {
    /// How many rows wait for others.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().open.values().map(Vec::len).sum()
    }
}

/// Where the outcomes of a request's rows are looked for and kept.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) query: Arc<SharedScores>,
    pub(super) cache: Option<Arc<ModelScores>>,
}

impl Known {
    /// Finishes a row whose outcome is known or on its way; gives back one that has to be scored.
    pub(super) fn look_up(&self, ticket: Ticket, key: ScoreKey) -> Option<Owner> {
        // First claimed, then looked up: an owner that ends meanwhile has put its outcome into the cache before.
        let owner = match self.query.claim(ticket, key) {
            Claim::Owned(owner) => owner,
            Claim::Waits => return None,
            Claim::Kept(ticket, outcome) => {
                ticket.request.finish(ticket.row, outcome.into(), Source::Shared);
                return None;
            }
        };
        let Some(cache) = &self.cache else { return Some(owner) };
        match cache.get(&key) {
            Some(outcome) => {
                owner.end(&outcome.into(), None, [Source::Cache; 2]);
                None
            }
            None => {
                owner.request().metrics.cache_misses.fetch_add(1, Ordering::Relaxed);
                Some(owner)
            }
        }
    }
}

/// A row on its way, for itself and for the rows of its content that come meanwhile. Dropped without an outcome, because
/// its request was cancelled, it hands over: the rows that wait for it go back into the queue.
#[derive(Debug)]
pub(super) struct Owner {
    ticket: Ticket,
    key: ScoreKey,
    is_done: bool,
}

impl Owner {
    pub(super) fn request(&self) -> &Arc<Request> {
        &self.ticket.request
    }

    pub(super) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Ends with an outcome that follows from the content, and that is kept.
    pub(super) fn keep(self, outcome: KnownScore) {
        let keep = match &self.request().known.cache {
            Some(cache) => {
                cache.put(self.key, outcome.clone());
                None
            }
            None => Some(outcome.clone()),
        };
        self.end(&outcome.into(), keep, [Source::Model, Source::Shared]);
    }

    /// Ends with a failure that may not come again.
    pub(super) fn fail_once(self, reason: String) {
        self.end(&Outcome::Failed(reason.into()), None, [Source::Model, Source::Shared]);
    }

    /// Ends with an error that concerns no single row: the requests of all who wait end with it.
    pub(super) fn fail_requests(mut self, error: &Error) {
        self.request().fail(error.clone());
        for waiting in self.take_waiting(None) {
            waiting.request.fail(error.clone());
        }
    }

    fn end(mut self, outcome: &Outcome, keep: Option<KnownScore>, [own, others]: [Source; 2]) {
        let waiting = self.take_waiting(keep);
        self.request().finish(self.ticket.row, outcome.clone(), own);
        for Ticket { request, row } in waiting {
            request.finish(row, outcome.clone(), others);
        }
    }

    fn take_waiting(&mut self, keep: Option<KnownScore>) -> Vec<Ticket> {
        self.is_done = true;
        self.request().known.query.end(&self.key, keep)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut waiting = self.take_waiting(None);
        waiting.retain(|ticket| !ticket.request.is_cancelled());
        if !waiting.is_empty() {
            let model = Arc::clone(&self.request().known.query.model);
            model.spawn(model.queue().put_back(waiting));
        }
    }
}

impl From<KnownScore> for Outcome {
    fn from(known: KnownScore) -> Self {
        match known {
            KnownScore::Score(score) => Self::Score(score),
            KnownScore::Failed(reason) => Self::Failed(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use tamis_models::{Limits, Sample};

    use super::*;

    #[test]
    fn the_oldest_outcomes_are_forgotten_beyond_the_bound() {
        let key = |text| ScoreKey::of(&Sample::Pair { image: b"", text }, &Limits::default());
        let mut kept = Kept::default();
        for (score, text) in ["a", "b", "a", "c", "d"].into_iter().enumerate() {
            kept.insert(key(text), KnownScore::Score(score as f32), 2);
        }
        assert_eq!(kept.order, [key("c"), key("d")]);
        assert_eq!(kept.outcomes.len(), 2);
        assert_eq!(kept.outcomes[&key("d")], KnownScore::Score(4.0));
    }
}
