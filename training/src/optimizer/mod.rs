//! From gradients to other numbers.

mod adamw;
mod muon;
mod schedule;

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

pub use schedule::Schedule;

use crate::model::{Gradients, Parameters};
use crate::ops::sum_of_squares;

/// Which optimiser the matrices of blocks have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// AdamW for everything.
    #[default]
    AdamW,
    /// Muon for the matrices of blocks, AdamW for the rest.
    Muon,
}

/// What an optimiser is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Which one.
    pub algorithm: Algorithm,
    /// Decay of the gradients' mean.
    pub beta1: f64,
    /// Decay of their squares' mean.
    pub beta2: f64,
    /// Added to the root of the latter.
    pub epsilon: f64,
    /// How much of the learning rate is taken off the numbers themselves, but of norms and biases.
    pub weight_decay: f64,
    /// The largest norm of all gradients together.
    pub clip: Option<f64>,
    /// What the vision tower's learning rate is multiplied by.
    pub vision_rate: f64,
    /// Muon's learning rate in AdamW's.
    pub muon_rate: f64,
}

impl Default for Settings {
    /// The reference's.
    fn default() -> Self {
        Self {
            algorithm: Algorithm::AdamW,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.,
            clip: Some(1.),
            vision_rate: 1.,
            muon_rate: 1.,
        }
    }
}

/// An optimiser with what it remembers.
#[derive(Debug)]
pub struct Optimizer {
    settings: Settings,
    steps: usize,
    /// By name: the gradients' mean, and, of AdamW, their squares'.
    memory: BTreeMap<String, Vec<Tensor>>,
}

impl Optimizer {
    /// One that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, steps: 0, memory: BTreeMap::new() }
    }

    /// Changes the parameters; the gradients' norm before it was clipped.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, rate: f64) -> Result<f64> {
        self.steps += 1;
        let norm = norm(gradients)?;
        // As torch.nn.utils.clip_grad_norm_.
        let scale = self.settings.clip.map_or(1., |most| (most / (norm + 1e-6)).min(1.));
        for (name, variable) in parameters.trained() {
            let Some(gradient) = gradients.get(name) else { continue };
            let memory = self.memory.entry(name.to_string()).or_default();
            let rate = if name.starts_with("model.vision_tower.") { rate * self.settings.vision_rate } else { rate };
            match self.settings.algorithm {
                Algorithm::Muon if muon::is_for(name, variable) => {
                    muon::step(variable, gradient, memory, scale, rate * self.settings.muon_rate, &self.settings)?;
                }
                _ => adamw::step(name, variable, gradient, memory, scale, rate, self.steps, &self.settings)?,
            }
        }
        Ok(norm)
    }

    /// How many steps were taken.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// What it remembers, by name and number.
    pub(crate) fn memory(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.memory.iter().flat_map(|(name, tensors)| {
            tensors.iter().enumerate().map(move |(number, tensor)| (format!("{number}.{name}"), tensor))
        })
    }

    /// Takes back what it remembered after so many steps.
    pub(crate) fn remember(&mut self, steps: usize, memory: impl Iterator<Item = (String, Tensor)>) {
        self.steps = steps;
        // Sorted by number first, so that a name's tensors come in order.
        let sorted: BTreeMap<String, Tensor> = memory.collect();
        for (key, tensor) in sorted {
            if let Some((_, name)) = key.split_once('.') {
                self.memory.entry(name.to_string()).or_default().push(tensor);
            }
        }
    }
}

/// The norm of all gradients together.
fn norm(gradients: &Gradients) -> Result<f64> {
    let mut sum = 0f64;
    for (_, gradient) in gradients.iter() {
        sum += sum_of_squares(gradient)?;
    }
    Ok(sum.sqrt())
}

/// Whether the numbers of this name decay: norms and biases do not.
fn decays(name: &str) -> bool {
    name.ends_with(".weight") && !name.contains("norm")
}
