//! The numbers that are trained, by name and part.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use tamis_models::checkpoint::StoredTensor;
use tamis_models::unifilter::Parts as Files;

use crate::TrainingError;

/// Where a checkpoint keeps its copy of the vision tower.
pub(crate) const TOWER: &str = "model.vision_tower.vision_tower.vision_model.";

/// A part of the model, which is trained or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The vision tower.
    Vision,
    /// The projector between them.
    Projector,
    /// The language model, embeddings included.
    Language,
    /// The score head.
    Head,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Vision, Self::Projector, Self::Language, Self::Head];

    /// The part that a tensor of this name belongs to.
    pub fn of(name: &str) -> Self {
        match name {
            _ if name.starts_with("score.") => Self::Head,
            _ if name.starts_with("model.mm_projector.") => Self::Projector,
            _ if name.starts_with("model.vision_tower.") => Self::Vision,
            _ => Self::Language,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vision => "vision",
            Self::Projector => "projector",
            Self::Language => "language",
            Self::Head => "head",
        })
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.into_iter().find(|part| part.to_string() == text);
        found.ok_or_else(|| format!("{text:?} is no part of the model; expected vision, projector, language or head"))
    }
}

/// How a tensor begins that no checkpoint has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Initial {
    Zeros,
    Ones,
    /// Normal, of this deviation.
    Normal(f64),
}

/// A model's tensors by their names in the released layout. Those that are trained are variables in f32.
#[derive(Debug, Clone)]
pub struct Parameters {
    device: Device,
    dtype: DType,
    all: BTreeMap<String, Parameter>,
}

#[derive(Debug, Clone)]
enum Parameter {
    Trained(Var),
    Frozen(Tensor),
}

impl Parameter {
    fn tensor(&self) -> &Tensor {
        match self {
            Self::Trained(variable) => variable.as_tensor(),
            Self::Frozen(tensor) => tensor,
        }
    }
}

impl Parameters {
    /// The tensor of this name as the model computes with it.
    pub(crate) fn get(&self, name: &str) -> Result<Tensor> {
        let parameter = self.all.get(name).ok_or_else(|| candle_core::Error::msg(format!("no tensor {name}")))?;
        parameter.tensor().to_dtype(self.dtype)
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    /// Puts other numbers into a tensor.
    pub(crate) fn replace(&mut self, name: &str, tensor: &Tensor) -> std::result::Result<(), TrainingError> {
        let failed = || TrainingError::compute("taking tensors from a file");
        let fits = self.all.get(name).map(|known| known.tensor().dims().to_vec());
        if fits.as_deref() != Some(tensor.dims()) {
            return Err(TrainingError::Tensor {
                model: "the projector's file".into(),
                name: name.to_string(),
                found: tensor.dims().to_vec(),
                expected: fits.unwrap_or_default(),
            });
        }
        let tensor = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.to_device(&self.device)).map_err(failed())?;
        match self.all.get_mut(name) {
            Some(Parameter::Trained(variable)) => variable.set(&tensor).map_err(failed())?,
            Some(Parameter::Frozen(known)) => *known = tensor,
            None => {}
        }
        Ok(())
    }

    /// Where they are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What the model computes in.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Those that are trained, by name.
    pub fn trained(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.all.iter().filter_map(|(name, parameter)| match parameter {
            Parameter::Trained(variable) => Some((name.as_str(), variable)),
            Parameter::Frozen(_) => None,
        })
    }

    /// All of them, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.all.iter().map(|(name, parameter)| (name.as_str(), parameter.tensor()))
    }

    /// How many numbers are trained, and how many there are.
    pub fn counts(&self) -> (usize, usize) {
        let trained = self.trained().map(|(_, variable)| variable.elem_count()).sum();
        (trained, self.all.values().map(|parameter| parameter.tensor().elem_count()).sum())
    }

    /// Whether a part has anything that is trained.
    pub fn trains(&self, part: Part) -> bool {
        self.trained().any(|(name, _)| Part::of(name) == part)
    }
}

/// Takes a model's tensors from its files, or makes them anew.
pub(crate) struct Loader<'a> {
    files: &'a Files,
    trained: &'a [Part],
    /// Whether what is missing is made anew: all of it, or the head alone.
    is_new: bool,
    random: ChaCha8Rng,
    parameters: Parameters,
    made: Vec<String>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        files: &'a Files,
        trained: &'a [Part],
        is_new: bool,
        seed: u64,
        device: &Device,
        dtype: DType,
    ) -> Self {
        let parameters = Parameters { device: device.clone(), dtype, all: BTreeMap::new() };
        Self { files, trained, is_new, random: ChaCha8Rng::seed_from_u64(seed), parameters, made: vec![] }
    }

    /// Adds a tensor that the model needs.
    pub(crate) fn add(
        &mut self,
        name: &str,
        shape: &[usize],
        initial: Initial,
    ) -> std::result::Result<(), TrainingError> {
        let part = Part::of(name);
        let values = match self.stored(name)? {
            Some(stored) if stored.shape == shape => stored.values,
            // A head of another number of labels begins anew.
            Some(_) if part == Part::Head => {
                self.made.push(name.to_string());
                self.make(shape, initial)
            }
            None if self.is_new || part == Part::Head || part == Part::Projector => {
                self.made.push(name.to_string());
                self.make(shape, initial)
            }
            found => {
                return Err(TrainingError::Tensor {
                    model: self.files.checkpoint.model().to_string(),
                    name: name.to_string(),
                    found: found.map(|stored| stored.shape).unwrap_or_default(),
                    expected: shape.to_vec(),
                });
            }
        };
        let failed = TrainingError::compute("moving the weights to the device");
        let tensor = Tensor::from_vec(values, shape, &self.parameters.device).map_err(failed)?;
        let parameter = match self.trained.contains(&part) {
            true => Parameter::Trained(Var::from_tensor(&tensor).map_err(TrainingError::compute("making a variable"))?),
            false => Parameter::Frozen(tensor),
        };
        self.parameters.all.insert(name.to_string(), parameter);
        Ok(())
    }

    fn stored(&self, name: &str) -> std::result::Result<Option<StoredTensor>, TrainingError> {
        let Some(in_tower) = name.strip_prefix(TOWER) else { return Ok(self.files.weights.values(name)?) };
        let (weights, prefix) = self.files.vision_weights();
        Ok(weights.values(&format!("{prefix}{in_tower}"))?)
    }

    fn make(&mut self, shape: &[usize], initial: Initial) -> Vec<f32> {
        let count = shape.iter().product();
        match initial {
            Initial::Zeros => vec![0.; count],
            Initial::Ones => vec![1.; count],
            Initial::Normal(deviation) => match Normal::new(0f32, deviation as f32) {
                Ok(normal) => (0..count).map(|_| normal.sample(&mut self.random)).collect(),
                Err(_) => vec![0.; count],
            },
        }
    }

    /// The tensors, and the names of those that were made anew.
    pub(crate) fn finish(self) -> (Parameters, Vec<String>) {
        (self.parameters, self.made)
    }
}
