//! The models that this process has loaded: each once a place, device and dtype.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, OnceLock};

use parking_lot::Mutex;
use tamis_models::checkpoint::Location;
use tamis_models::{DeviceChoice, DtypeChoice, LoadError, Scorer};

use super::model::ModelHandle;
use super::panics::contained;
use crate::error::Error;

/// What makes two uses share one loaded model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ModelKey {
    pub(super) location: Location,
    pub(super) device: DeviceChoice,
    pub(super) dtype: DtypeChoice,
}

type Attempt = Arc<OnceLock<Result<Arc<ModelHandle>, Error>>>;

/// Loaded models, and loads in progress.
#[derive(Debug, Default)]
pub(super) struct Registry {
    models: Mutex<HashMap<ModelKey, Attempt>>,
}

static PROCESS: LazyLock<Registry> = LazyLock::new(Registry::default);

/// The model of this key, loaded now if this process has not loaded it yet.
pub(super) fn open(key: &ModelKey) -> Result<Arc<ModelHandle>, Error> {
    PROCESS.open(key, || {
        if key.location == Location::default_model() {
            log::warn!(
                "the built-in model has random weights and its scores mean nothing; name a real one with \
                 --model unifilter=FOLDER|URL|HUB_ID"
            );
        }
        tamis_models::load(&key.location, key.device, key.dtype)
    })
}

impl Registry {
    /// Concurrent first users share one load and its error; a later user tries anew after an error.
    fn open(
        &self,
        key: &ModelKey,
        load: impl FnOnce() -> Result<Arc<dyn Scorer>, LoadError>,
    ) -> Result<Arc<ModelHandle>, Error> {
        let attempt = self.models.lock().entry(key.clone()).or_default().clone();
        let result = attempt.get_or_init(|| start(key, load)).clone();
        if result.is_err() {
            let mut models = self.models.lock();
            // Only this attempt: another user may have begun the next one.
            if models.get(key).is_some_and(|current| Arc::ptr_eq(current, &attempt)) {
                models.remove(key);
            }
        }
        result
    }
}

fn start(key: &ModelKey, load: impl FnOnce() -> Result<Arc<dyn Scorer>, LoadError>) -> Result<Arc<ModelHandle>, Error> {
    let model = key.location.to_string();
    let loaded = contained(load).map_err(|reason| Error::LoadPanicked { model: model.clone(), reason })?;
    let scorer = loaded.map_err(|source| Error::Load { model: model.clone(), source: Arc::new(source) })?;
    Ok(Arc::new(ModelHandle::start(model, scorer)?))
}

#[cfg(test)]
mod tests;
