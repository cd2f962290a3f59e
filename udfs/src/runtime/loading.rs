//! Loading a model for the first row that needs it, and the rows that wait for that.

use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tamis_models::{LoadError, Scorer};

use super::known::Owner;
use super::panics::contained;
use super::prepare::Fetched;
use crate::error::Error;

/// A row that is not known, with the files that were fetched for it.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) owner: Owner,
    pub(super) fetched: Fetched,
}

/// How a model is loaded.
pub(super) type Load = dyn Fn() -> Result<Arc<dyn Scorer>, LoadError> + Send + Sync;

/// A model's scorer: not loaded, being loaded, or loaded.
pub(super) struct Loading {
    load: Box<Load>,
    scorer: OnceLock<Arc<dyn Scorer>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_loading: bool,
    parked: Vec<Unknown>,
}

/// What becomes of a row that asks for a scorer which is not there.
pub(super) enum Parked {
    /// It waits. Whoever is told `true` begins to load.
    Waits(bool),
    /// The load has ended meanwhile.
    Loaded(Unknown),
}

impl Loading {
    pub(super) fn new(load: Box<Load>) -> Self {
        Self { load, scorer: OnceLock::new(), state: Mutex::default() }
    }

    /// The scorer, if it is loaded.
    pub(super) fn scorer(&self) -> Option<&Arc<dyn Scorer>> {
        self.scorer.get()
    }

    /// Lets a row wait for the scorer.
    pub(super) fn park(&self, row: Unknown) -> Parked {
        let mut state = self.state.lock();
        if self.scorer.get().is_some() {
            return Parked::Loaded(row);
        }
        state.parked.push(row);
        Parked::Waits(!std::mem::replace(&mut state.is_loading, true))
    }

    /// Loads. Blocks for as long as that takes.
    pub(super) fn load(&self, model: &str) -> Result<Arc<dyn Scorer>, Error> {
        let model = || model.to_string();
        let loaded = contained(|| (self.load)()).map_err(|reason| Error::LoadPanicked { model: model(), reason })?;
        loaded.map_err(|source| Error::Load { model: model(), source: Arc::new(source) })
    }

    /// Ends a load, with a scorer or without: then the next row that asks for one begins another. Gives the rows that
    /// waited.
    pub(super) fn end(&self, scorer: Option<Arc<dyn Scorer>>) -> Vec<Unknown> {
        let mut state = self.state.lock();
        state.is_loading = false;
        if let Some(scorer) = scorer {
            let _ = self.scorer.set(scorer);
        }
        std::mem::take(&mut state.parked)
    }
}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading").field("scorer", &self.scorer).finish_non_exhaustive()
    }
}
