//! The models that this process uses: each once a place, device and dtype.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Once};

use parking_lot::Mutex;
use tamis_models::checkpoint::Location;
use tamis_models::{DeviceChoice, DtypeChoice, LoadError, Scorer};

use super::model::ModelHandle;
use super::panics::contained;
use crate::error::Error;

/// What makes two uses share one model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ModelKey {
    pub(super) location: Location,
    pub(super) device: DeviceChoice,
    pub(super) dtype: DtypeChoice,
}

/// A model that is in use, loaded or not.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) model: Arc<ModelHandle>,
    /// What its scores are remembered under; `None` if nobody has asked for that.
    pub(super) fingerprint: Option<Arc<str>>,
}

/// Where a model comes from.
pub(super) trait Origin: Clone + Send + Sync + 'static {
    fn fingerprint(&self) -> Result<String, LoadError>;
    fn load(&self) -> Result<Arc<dyn Scorer>, LoadError>;
}

impl Origin for ModelKey {
    fn fingerprint(&self) -> Result<String, LoadError> {
        tamis_models::fingerprint(&self.location, self.device, self.dtype)
    }

    fn load(&self) -> Result<Arc<dyn Scorer>, LoadError> {
        tamis_models::load(&self.location, self.device, self.dtype)
    }
}

type Slot = Arc<Mutex<Option<Opened>>>;

#[derive(Debug, Default)]
pub(super) struct Registry {
    models: Mutex<HashMap<ModelKey, Slot>>,
}

static PROCESS: LazyLock<Registry> = LazyLock::new(Registry::default);

/// The model of this key, with its fingerprint if that is wanted. Loads no weights, but may read them for the
/// fingerprint.
pub(super) fn open(key: &ModelKey, with_fingerprint: bool) -> Result<Opened, Error> {
    static WARNING: Once = Once::new();
    if key.location == Location::default_model() {
        WARNING.call_once(|| {
            log::warn!(
                "the built-in model has random weights and its scores mean nothing; name a real one with \
                 --model unifilter=FOLDER|URL|HUB_ID"
            );
        });
    }
    PROCESS.open(key, key, with_fingerprint)
}

/// The model of this key, if this process uses it.
pub(super) fn peek(key: &ModelKey) -> Option<Arc<ModelHandle>> {
    let slot = PROCESS.models.lock().get(key)?.clone();
    // Nobody waits here for a fingerprint that another is computing.
    let opened = slot.try_lock()?;
    opened.as_ref().map(|opened| opened.model.clone())
}

/// Makes `scorer` the model at `location`, whatever the device and dtype that a session asks for.
pub(super) fn put(location: &Location, scorer: &Arc<dyn Scorer>) -> Result<(), Error> {
    let devices = [DeviceChoice::Auto, DeviceChoice::Cpu];
    let dtypes = [DtypeChoice::Auto, DtypeChoice::F32, DtypeChoice::Bf16, DtypeChoice::F16, DtypeChoice::Int8];
    for (device, dtype) in devices.into_iter().flat_map(|device| dtypes.map(|dtype| (device, dtype))) {
        let scorer = scorer.clone();
        let model = ModelHandle::new(location.to_string(), Box::new(move || Ok(scorer.clone())))?;
        let opened = Opened { model: Arc::new(model), fingerprint: None };
        let slot = PROCESS.slot(&ModelKey { location: location.clone(), device, dtype });
        *slot.lock() = Some(opened);
    }
    Ok(())
}

impl Registry {
    fn slot(&self, key: &ModelKey) -> Slot {
        self.models.lock().entry(key.clone()).or_default().clone()
    }

    /// Users of one key share one model. A model whose files have changed since it was opened makes way for a new one:
    /// scores must be those of the fingerprint that they are remembered under.
    fn open(&self, key: &ModelKey, origin: &impl Origin, with_fingerprint: bool) -> Result<Opened, Error> {
        let slot = self.slot(key);
        // Whoever comes meanwhile waits: a large checkpoint is read once for its fingerprint.
        let mut slot = slot.lock();
        if let Some(opened) = &*slot {
            // A remote place is asked once, as it is for its weights.
            let is_remote = matches!(key.location, Location::Store(_) | Location::Hub(_));
            let is_settled = opened.fingerprint.is_some() && is_remote && opened.model.is_loaded();
            if !with_fingerprint || is_settled {
                return Ok(opened.clone());
            }
        }
        let name = || key.location.to_string();
        let fingerprint: Option<Arc<str>> = match with_fingerprint {
            true => {
                let computed = contained(|| origin.fingerprint());
                let computed = computed.map_err(|reason| Error::LoadPanicked { model: name(), reason })?;
                Some(computed.map_err(|source| Error::Load { model: name(), source: Arc::new(source) })?.into())
            }
            false => None,
        };
        if let Some(opened) = slot.as_ref().filter(|opened| opened.fingerprint == fingerprint) {
            return Ok(opened.clone());
        }
        let (origin, expected) = (origin.clone(), fingerprint.clone());
        let load = move || load_checked(&origin, expected.as_deref());
        let model = Arc::new(ModelHandle::new(name(), Box::new(load))?);
        Ok(slot.insert(Opened { model, fingerprint }).clone())
    }
}

/// Loads a model that still has the fingerprint under which its scores will be remembered.
fn load_checked(origin: &impl Origin, expected: Option<&str>) -> Result<Arc<dyn Scorer>, LoadError> {
    let scorer = origin.load()?;
    match expected {
        Some(expected) if origin.fingerprint()? != expected => Err(LoadError::Changed),
        _ => Ok(scorer),
    }
}

#[cfg(test)]
mod tests;
