//! The model on an NVIDIA GPU, over [`cuda`](crate::cuda): sums in f32 between layers, everything else in the model's numbers.

mod language;
mod projector;
mod vision;

use std::sync::Arc;

use parking_lot::Mutex;

use super::engine::Engine;
use super::parts::Parts;
use super::patches::Patches;
use super::sequence::Sequences;
use crate::checkpoint::Scope;
use crate::cuda::{Buffer, Gpu, Linear, Norm, Numbers, Staging, Yields};
use crate::device::{Arithmetic, Dtype};
use crate::prepared::Embeddings;
use crate::{DeviceChoice, LoadError, ModelError, Prepared};
use language::LanguageModel;
use projector::Projector;
use vision::VisionTower;

/// The model's parts, and the memory that forward passes share.
#[derive(Debug)]
pub(super) struct CudaModel {
    gpu: Arc<Gpu>,
    patches: Patches,
    vision: VisionTower,
    projector: Projector,
    language: LanguageModel,
    /// Rows of an image among the language model's.
    image_tokens: usize,
    workspace: Mutex<Workspace>,
}

/// Memory between layers, kept from pass to pass.
#[derive(Debug, Default)]
struct Workspace {
    staging: Staging,
    pixels: Buffer<u8>,
    /// [rows, hidden] in f32, what layers add to.
    states: Buffer<f32>,
    /// Queries, keys and values: [rows, all heads].
    heads: Buffer<u8>,
    /// What a layer of `hidden` inputs reads, and one of the MLP's.
    narrow: Buffer<u8>,
    wide: Buffer<u8>,
    /// Gates and what they open: [rows, 2 * MLP].
    gates: Buffer<u8>,
    embeddings: Buffer<f32>,
}

/// Where weights go, and as what.
#[derive(Debug, Clone, Copy)]
struct Way<'a> {
    gpu: &'a Arc<Gpu>,
    numbers: Numbers,
}

impl Way<'_> {
    /// Weights [outputs, inputs] under these names, one after the other, with their biases if they have any.
    fn linear(
        self,
        scope: &Scope<'_>,
        names: &[(&str, usize)],
        inputs: usize,
        has_bias: bool,
        yields: Yields,
    ) -> Result<Linear, LoadError> {
        let (sources, bias) = scope.stacked(names, inputs, has_bias)?;
        Linear::load(self.gpu, self.numbers, &sources, bias.as_deref(), yields).map_err(build)
    }

    fn layer_norm(self, scope: &Scope<'_>, size: usize, eps: f64) -> Result<Norm, LoadError> {
        let (weight, bias) = (scope.vector(size, "weight")?, scope.vector(size, "bias")?);
        Norm::load(self.gpu, &weight, Some(&bias), eps).map_err(build)
    }

    fn rms_norm(self, scope: &Scope<'_>, size: usize, eps: f64) -> Result<Norm, LoadError> {
        Norm::load(self.gpu, &scope.vector(size, "weight")?, None, eps).map_err(build)
    }
}

fn build(source: crate::cuda::Error) -> LoadError {
    LoadError::Build { path: "the checkpoint".into(), source: source.into() }
}

fn failed(rows: usize) -> impl Fn(crate::cuda::Error) -> ModelError {
    move |source| ModelError::Forward { rows, source: source.into() }
}

impl CudaModel {
    pub(super) fn load(parts: &Parts, choice: DeviceChoice, arithmetic: Arithmetic) -> Result<Self, LoadError> {
        let (number, device) = match choice {
            DeviceChoice::Cuda(number) => (number, format!("cuda:{number}")),
            DeviceChoice::Auto | DeviceChoice::Cpu => (0, "auto".to_string()),
        };
        let numbers = match arithmetic.dtype {
            Dtype::F32 => Numbers::F32,
            Dtype::Bf16 => Numbers::Bf16,
            Dtype::F16 => Numbers::F16,
            Dtype::Int8 => {
                let reason = "int8 runs on a CPU only; use bf16 or f16".into();
                return Err(LoadError::Device { device, reason });
            }
        };
        let gpu = Gpu::open(number).map_err(|e| LoadError::Device { device, reason: e.to_string() })?;
        let gpu = Arc::new(gpu);
        let way = Way { gpu: &gpu, numbers };
        let (config, vision_config) = (&parts.config, &parts.vision_config);
        let patches = Patches::new(vision_config, &parts.preprocess.normaliser);
        let (vision_weights, prefix) = parts.vision_weights();
        let vision = VisionTower::load(way, vision_config, &patches, &vision_weights.under(prefix))?;
        let model = parts.weights.under("").pp("model");
        let projector = Projector::load(way, config, vision_config, &model.pp("mm_projector"))?;
        let language = LanguageModel::load(way, config, &model)?;
        let image_tokens = config.mm_num_image_tokens;
        Ok(Self { gpu, patches, vision, projector, language, image_tokens, workspace: Mutex::default() })
    }

    fn embeddings(&self, images: &[&[u8]], workspace: &mut Workspace) -> Result<Vec<Embeddings>, crate::cuda::Error> {
        let mut all = Vec::with_capacity(images.len());
        for images in images.chunks(self.vision.images_at_once()) {
            self.vision.forward(&self.gpu, images, workspace)?;
            let one = self.projector.forward(&self.gpu, self.vision.kernels(), images.len(), workspace)?;
            let embeddings = workspace.embeddings.of(&self.gpu, images.len() * one)?;
            for image in 0..images.len() {
                // Each its own memory: it lives as long as its image does.
                all.push(Embeddings::Device(self.gpu.copy(embeddings, image * one, one)?));
            }
        }
        Ok(all)
    }
}

impl Engine for CudaModel {
    fn encode(&self, images: &[&[u8]]) -> Result<Vec<Embeddings>, ModelError> {
        images.iter().try_for_each(|image| self.patches.check(image))?;
        let workspace = &mut *self.workspace.lock();
        self.gpu.enter().and_then(|()| self.embeddings(images, workspace)).map_err(failed(images.len()))
    }

    fn last_states(&self, batch: &[Prepared]) -> Result<Vec<f32>, ModelError> {
        let sequences = Sequences::of(batch, self.image_tokens)?;
        self.gpu.enter().map_err(failed(batch.len()))?;
        self.language.forward(&self.gpu, &sequences, &mut self.workspace.lock())
    }

    fn vision_features(&self, images: &[&[u8]]) -> Result<Vec<f32>, ModelError> {
        let workspace = &mut *self.workspace.lock();
        let features = self.vision.forward(&self.gpu, images, workspace).and_then(|count| {
            let states = workspace.states.of(&self.gpu, count)?;
            self.gpu.download(states, count)
        });
        features.map_err(failed(images.len()))
    }
}
