//! States of a training: everything that the next step hangs on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::model::write_tensors;
use crate::TrainingError;
use crate::model::Parameters;
use crate::optimizer::Optimizer;

const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const PROGRESS: &str = "progress.json";
const PREFIX: &str = "state-";

/// How far a training has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The optimiser's steps that were taken.
    pub(crate) step: usize,
    /// What must be the same for the training to go on, by what it is called.
    pub(crate) settings: Vec<(String, String)>,
    /// The best evaluation so far.
    pub(crate) best: Option<f64>,
    /// The step after which it was.
    pub(crate) best_step: usize,
    /// Evaluations since then.
    pub(crate) since_best: usize,
}

/// Writes a state to the folder, in place of the one before. Killed at any moment, one of the two is there whole.
pub(crate) fn write_state(
    folder: &Path,
    progress: &Progress,
    parameters: &Parameters,
    optimizer: &Optimizer,
) -> Result<(), TrainingError> {
    let place = folder.join(format!("{PREFIX}{:09}", progress.step));
    let unfinished = folder.join(format!("unfinished-{PREFIX}{:09}", progress.step));
    for old in [&unfinished, &place] {
        if old.exists() {
            std::fs::remove_dir_all(old).map_err(TrainingError::io("removing", old))?;
        }
    }
    std::fs::create_dir_all(&unfinished).map_err(TrainingError::io("making", &unfinished))?;
    let weights: HashMap<String, Tensor> =
        parameters.trained().map(|(name, variable)| (name.to_string(), variable.as_tensor().clone())).collect();
    write_tensors(&unfinished.join(WEIGHTS), &weights)?;
    let memory: HashMap<String, Tensor> = optimizer.memory().map(|(name, tensor)| (name, tensor.clone())).collect();
    write_tensors(&unfinished.join(OPTIMIZER), &memory)?;
    let text = serde_json::to_vec_pretty(progress).map_err(|error| TrainingError::Data(error.to_string()))?;
    let path = unfinished.join(PROGRESS);
    std::fs::write(&path, text).map_err(TrainingError::io("writing", &path))?;
    std::fs::rename(&unfinished, &place).map_err(TrainingError::io("writing", &place))?;
    for old in states(folder)?.into_iter().filter(|old| *old != place) {
        std::fs::remove_dir_all(&old).map_err(TrainingError::io("removing", &old))?;
    }
    Ok(())
}

/// The states in a folder, the newest last.
fn states(folder: &Path) -> Result<Vec<PathBuf>, TrainingError> {
    let mut found = vec![];
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(TrainingError::io("reading", folder)(error)),
    };
    for entry in entries {
        let path = entry.map_err(TrainingError::io("reading", folder))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Puts the newest state back, if there is one.
pub(crate) fn read_state(
    folder: &Path,
    settings: &[(String, String)],
    parameters: &Parameters,
    optimizer: &mut Optimizer,
) -> Result<Option<Progress>, TrainingError> {
    let Some(place) = states(folder)?.pop() else { return Ok(None) };
    let path = place.join(PROGRESS);
    let bytes = std::fs::read(&path).map_err(TrainingError::io("reading", &path))?;
    let progress: Progress = serde_json::from_slice(&bytes)
        .map_err(|error| TrainingError::Data(format!("reading {}: {error}", path.display())))?;
    for (name, value) in settings {
        let before = progress.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        if before != Some(value) {
            return Err(TrainingError::Usage(format!(
                "{}: this training began with {name} = {}, and is now told {value}: give it as it was, or begin another one",
                folder.display(),
                before.unwrap_or("nothing"),
            )));
        }
    }
    let failed = || TrainingError::compute("reading a training's state");
    let mut weights = candle_core::safetensors::load(place.join(WEIGHTS), parameters.device()).map_err(failed())?;
    for (name, variable) in parameters.trained() {
        let Some(tensor) = weights.remove(name) else {
            return Err(TrainingError::Data(format!("{}: there is no {name} in it", place.display())));
        };
        variable.set(&tensor).map_err(failed())?;
    }
    let memory = candle_core::safetensors::load(place.join(OPTIMIZER), &Device::Cpu).map_err(failed())?;
    let memory: Vec<(String, Tensor)> = memory
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.to_device(parameters.device())?)))
        .collect::<candle_core::Result<_>>()
        .map_err(failed())?;
    optimizer.remember(progress.step, memory.into_iter());
    Ok(Some(progress))
}
