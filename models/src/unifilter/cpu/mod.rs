//! The model on a CPU, over [`kernels`](crate::kernels): activations in f32 between layers, weights packed once.

mod language;
mod projector;
mod vision;

use parking_lot::Mutex;

use super::config::Config;
use super::engine::Engine;
use super::parts::Parts;
use super::patches::Patches;
use super::sequence::Sequences;
use crate::checkpoint::Scope;
use crate::kernels::{Activation, Isa, Layout, Linear, Norm, Operand, Source, Storage, Weights};
use crate::prepared::Embeddings;
use crate::{LoadError, ModelError, Prepared};
use language::LanguageModel;
use projector::Projector;
use vision::VisionTower;

/// Images that go through the vision tower at once: enough for all threads, and little memory.
const IMAGES_AT_ONCE: usize = 4;

/// The model's parts, and the memory that forward passes share.
#[derive(Debug)]
pub(super) struct CpuModel {
    vision: VisionTower,
    projector: Projector,
    language: LanguageModel,
    /// Rows of an image among the language model's.
    image_tokens: usize,
    for_vision: Mutex<Workspace>,
    for_language: Mutex<Workspace>,
}

/// Memory between layers. Kept from pass to pass: fresh pages cost more than small layers do.
#[derive(Debug)]
struct Workspace {
    /// [rows, hidden], what layers add to.
    states: Vec<f32>,
    /// [rows, queries (and keys and values)].
    queries: Vec<f32>,
    /// [rows, keys and values].
    keys_values: Vec<f32>,
    /// Attention's own.
    mixed: Vec<f32>,
    /// The left side of a layer that reads `hidden` inputs, and of one that reads the MLP's, which is never kept in bytes.
    narrow: Operand,
    wide: Operand,
}

impl Workspace {
    fn new(way: Way) -> Self {
        let numbers = way.storage.numbers(way.isa);
        Self {
            states: Vec::new(),
            queries: Vec::new(),
            keys_values: Vec::new(),
            mixed: Vec::new(),
            narrow: Operand::new(numbers),
            wide: Operand::new(way.careful().storage.numbers(way.isa)),
        }
    }
}

/// How a model computes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) isa: Isa,
    pub(super) storage: Storage,
}

impl Way {
    /// Weights [outputs, inputs] under these names, one after the other, with their biases if they have any.
    fn linear(
        self,
        scope: &Scope<'_>,
        names: &[(&str, usize)],
        inputs: usize,
        has_bias: bool,
    ) -> Result<Linear, LoadError> {
        let (sources, bias) = scope.stacked(names, inputs, has_bias)?;
        Ok(self.layer(Layout::Straight, &sources, bias, Activation::None))
    }

    fn layer(self, layout: Layout, sources: &[Source<'_>], bias: Option<Vec<f32>>, activation: Activation) -> Linear {
        Linear::new(self.isa, Weights::pack(self.isa, self.storage, layout, sources), bias, activation)
    }

    /// What layers that are few and sensitive are kept as, where the others are bytes.
    fn careful(self) -> Self {
        let storage = if self.storage == Storage::I8 { Storage::Bf16 } else { self.storage };
        Self { storage, ..self }
    }
}

fn layer_norm(scope: &Scope<'_>, size: usize, eps: f64) -> Result<Norm, LoadError> {
    Ok(Norm::Layer { weight: scope.vector(size, "weight")?, bias: scope.vector(size, "bias")?, eps: eps as f32 })
}

fn rms_norm(scope: &Scope<'_>, size: usize, eps: f64) -> Result<Norm, LoadError> {
    Ok(Norm::Rms { weight: scope.vector(size, "weight")?, eps: eps as f32 })
}

impl CpuModel {
    pub(super) fn load(parts: &Parts, way: Way) -> Result<Self, LoadError> {
        let (config, vision_config): (&Config, _) = (&parts.config, &parts.vision_config);
        let (vision_weights, prefix) = parts.vision_weights();
        let patches = Patches::new(vision_config, &parts.preprocess.normaliser);
        let model = parts.weights.under("").pp("model");
        Ok(Self {
            vision: VisionTower::load(way, vision_config, patches, &vision_weights.under(prefix))?,
            projector: Projector::load(way.careful(), config, vision_config, &model.pp("mm_projector"))?,
            language: LanguageModel::load(way.careful(), config, &model)?,
            image_tokens: config.mm_num_image_tokens,
            for_vision: Mutex::new(Workspace::new(way)),
            for_language: Mutex::new(Workspace::new(way.careful())),
        })
    }
}

impl Engine for CpuModel {
    fn encode(&self, images: &[&[u8]]) -> Result<Vec<Embeddings>, ModelError> {
        let workspace = &mut *self.for_vision.lock();
        let mut embeddings = Vec::with_capacity(images.len());
        for images in images.chunks(IMAGES_AT_ONCE) {
            self.vision.forward(images, workspace)?;
            let tokens = self.projector.forward(&workspace.states, images.len());
            let one = tokens.len() / images.len();
            embeddings.extend(tokens.chunks(one).map(|tokens| Embeddings::Host(tokens.to_vec())));
        }
        Ok(embeddings)
    }

    fn last_states(&self, batch: &[Prepared]) -> Result<Vec<f32>, ModelError> {
        let sequences = Sequences::of(batch, self.image_tokens)?;
        self.language.forward(&sequences, &mut self.for_language.lock())
    }

    fn vision_features(&self, images: &[&[u8]]) -> Result<Vec<f32>, ModelError> {
        let workspace = &mut *self.for_vision.lock();
        self.vision.forward(images, workspace)?;
        Ok(workspace.states.clone())
    }
}
