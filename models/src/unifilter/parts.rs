//! A UniFilter checkpoint opened: configurations read, weights mapped, nothing computed yet.

use crate::LoadError;
use crate::checkpoint::{Checkpoint, Location, Weights, of_parts};
use crate::device::Arithmetic;
use crate::preprocess::{Filter, Normaliser};

use super::config::{Config, PreprocessorConfig, VisionConfig};

/// Where the checkpoint keeps its copy of the vision tower.
const OWN_TOWER: &str = "model.vision_tower.vision_tower.vision_model.";

/// How images become pixels.
#[derive(Debug, Clone)]
pub struct Preprocess {
    /// How they are resized.
    pub filter: Filter,
    /// What a level of a channel becomes.
    pub normaliser: Normaliser,
}

/// The parts of a checkpoint.
#[derive(Debug)]
pub struct Parts {
    /// Its files.
    pub checkpoint: Checkpoint,
    /// config.json.
    pub config: Config,
    /// Its tensors.
    pub weights: Weights,
    /// The vision tower's own folder, whose weights the reference reads even where the checkpoint has a copy.
    pub tower: Option<(Checkpoint, Weights)>,
    /// The vision tower's configuration.
    pub vision_config: VisionConfig,
    /// How images become pixels.
    pub preprocess: Preprocess,
}

impl Parts {
    /// Opens a checkpoint and its vision tower, fetching what is remote.
    pub fn open(location: &Location) -> Result<Self, LoadError> {
        Self::read(location, true)
    }

    /// The same of a folder with a configuration, a tokenizer and an image processor's settings alone: there are no weights yet.
    pub fn without_weights(location: &Location) -> Result<Self, LoadError> {
        Self::read(location, false)
    }

    fn read(location: &Location, has_weights: bool) -> Result<Self, LoadError> {
        let checkpoint = Checkpoint::open(location)?;
        let config = Config::read(&checkpoint)?;
        let weights = if has_weights { checkpoint.weights()? } else { Weights::default() };
        let has_copy = weights.shape(&format!("{OWN_TOWER}embeddings.patch_embedding.weight")).is_some();
        let tower = match config.vision_config {
            Some(_) if !has_weights => None,
            _ => checkpoint.tower(&config.mm_vision_tower, has_copy)?,
        };
        let vision_config = vision_config(&checkpoint, &config, tower.as_ref())?;
        if vision_config.hidden_size != config.mm_hidden_size {
            return Err(LoadError::Config {
                path: checkpoint.path("config.json"),
                field: "mm_hidden_size".into(),
                found: config.mm_hidden_size.to_string(),
                expected: format!("the vision tower's hidden_size ({})", vision_config.hidden_size),
            });
        }
        let preprocess = read_preprocess(&checkpoint, tower.as_ref(), &vision_config)?;
        let tower = match tower {
            // A tower's folder without weights (a configuration alone) leaves the checkpoint's copy to serve.
            Some(_) if !has_weights => None,
            Some(tower) if has_copy && tower.read("model.safetensors.index.json")?.is_none() => {
                tower.weights().ok().map(|w| (tower, w))
            }
            Some(tower) => {
                let weights = tower.weights()?;
                Some((tower, weights))
            }
            None if !has_weights => None,
            None => {
                log::info!(
                    "{}: vision tower {} is not at hand; using the copy inside the checkpoint",
                    checkpoint.model(),
                    config.mm_vision_tower
                );
                None
            }
        };
        Ok(Self { checkpoint, config, weights, tower, vision_config, preprocess })
    }

    /// The weights that hold the vision tower, and the prefix of its names there.
    pub fn vision_weights(&self) -> (&Weights, &'static str) {
        match &self.tower {
            Some((_, weights)) => (weights, "vision_model."),
            None => (&self.weights, OWN_TOWER),
        }
    }

    /// How many labels the head has.
    pub fn num_labels(&self) -> Result<usize, LoadError> {
        match self.weights.shape("score.weight") {
            Some([labels, _]) if *labels > 0 => Ok(*labels),
            found => Err(LoadError::MissingTensor {
                path: self.checkpoint.path("model.safetensors"),
                tensor: match found {
                    Some(shape) => format!("score.weight of two dimensions (it has shape {shape:?})"),
                    None => "score.weight".into(),
                },
                expected: vec![1, self.config.hidden_size],
            }),
        }
    }

    /// Parameters that take part in scoring: the checkpoint's without its copy of a tower that lies apart, and the
    /// tower's without its text model, pooling head and last norm.
    pub(crate) fn parameters(&self) -> u64 {
        let count = |weights: &Weights, used: &dyn Fn(&str) -> bool| {
            weights.tensors().filter(|(n, ..)| used(n)).map(|(_, s, _)| s.iter().product::<usize>() as u64).sum::<u64>()
        };
        let (vision, prefix) = self.vision_weights();
        let in_tower = |n: &str| {
            n.strip_prefix(prefix).is_some_and(|n| !n.starts_with("head.") && !n.starts_with("post_layernorm."))
        };
        count(&self.weights, &|n| !n.starts_with(OWN_TOWER) && !n.starts_with("lm_head.")) + count(vision, &in_tower)
    }

    /// The fingerprint under this arithmetic.
    pub(crate) fn fingerprint(&self, arithmetic: Arithmetic) -> Result<String, LoadError> {
        let mut parts = vec![(&self.checkpoint, &self.weights)];
        parts.extend(self.tower.iter().map(|(tower, weights)| (tower, weights)));
        of_parts(&parts, arithmetic)
    }
}

/// The vision tower's configuration: its folder's, or else the checkpoint's, or else the published one of its name.
pub(super) fn vision_config(
    checkpoint: &Checkpoint,
    config: &Config,
    tower: Option<&Checkpoint>,
) -> Result<VisionConfig, LoadError> {
    match (tower, &config.vision_config) {
        (Some(tower), _) => VisionConfig::read(tower),
        (None, Some(own)) => own.clone().checked(checkpoint),
        (None, None) => VisionConfig::published(&config.mm_vision_tower).ok_or_else(|| LoadError::Config {
            path: checkpoint.path("config.json"),
            field: "mm_vision_tower".into(),
            found: format!("{:?}, which is neither a folder here nor in the hub's cache", config.mm_vision_tower),
            expected: "a folder with the tower's config.json, or a vision_config in this file".into(),
        }),
    }
}

/// The image processor's settings: the tower's, or else the checkpoint's.
fn read_preprocess(
    checkpoint: &Checkpoint,
    tower: Option<&Checkpoint>,
    vision: &VisionConfig,
) -> Result<Preprocess, LoadError> {
    const NAME: &str = "preprocessor_config.json";
    let mut found = None;
    for place in tower.into_iter().chain([checkpoint]) {
        if let Some(config) = place.json::<PreprocessorConfig>(NAME)? {
            found = Some((place, config));
            break;
        }
    }
    let (place, config) = found.ok_or_else(|| LoadError::MissingFile {
        model: checkpoint.model().into(),
        file: NAME.into(),
        looked_in: checkpoint.path("").display().to_string(),
        hint: "it says how images are resized; copy it from the vision tower's repository".into(),
    })?;
    let refuse = |field: &str, found: String, expected: String| LoadError::Config {
        path: place.path(NAME),
        field: field.into(),
        found,
        expected,
    };
    let filter = Filter::from_pillow(config.resample)
        .ok_or_else(|| refuse("resample", config.resample.to_string(), "2 (bilinear) or 3 (bicubic)".into()))?;
    let size = (config.size.height, config.size.width);
    if size != (vision.image_size, vision.image_size) {
        return Err(refuse("size", format!("{size:?}"), format!("the tower's image_size ({})", vision.image_size)));
    }
    let normaliser = Normaliser::new(config.rescale_factor, config.image_mean, config.image_std);
    Ok(Preprocess { filter, normaliser })
}
