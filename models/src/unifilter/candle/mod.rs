//! The model in candle: what our own kernels are tested against.

pub(super) mod language;
mod layers;
mod projector;
pub(super) mod vision;

use candle_core::{DType, Device, Tensor};

use super::engine::Engine;
use super::parts::Parts;
use super::patches::Patches;
use crate::checkpoint::Scope;
use crate::prepared::Embeddings;
use crate::{LoadError, ModelError, Prepared};
use language::LanguageModel;
use projector::Projector;
use vision::VisionTower;

/// Images that go through the vision tower at once: bounds the memory that attention takes.
const IMAGES_AT_ONCE: usize = 8;

/// The model's parts on a device.
#[derive(Debug)]
pub(super) struct CandleModel {
    patches: Patches,
    vision: VisionTower,
    projector: Projector,
    language: LanguageModel,
    device: Device,
    dtype: DType,
}

/// Where tensors go, and as what.
#[derive(Debug, Clone)]
pub(super) struct Tensors<'a> {
    scope: Scope<'a>,
    dtype: DType,
    device: &'a Device,
}

impl Tensors<'_> {
    /// The scope one segment deeper.
    fn pp(&self, segment: impl std::fmt::Display) -> Self {
        Self { scope: self.scope.pp(segment), ..self.clone() }
    }

    /// Loads a tensor, which must have this shape.
    fn get(&self, shape: &[usize], name: &str) -> Result<Tensor, LoadError> {
        let source = self.scope.matrix(shape, name)?;
        let dtype = match source.stored() {
            crate::kernels::Stored::F32 => DType::F32,
            crate::kernels::Stored::Bf16 => DType::BF16,
            crate::kernels::Stored::F16 => DType::F16,
        };
        Tensor::from_raw_buffer(source.bytes(), dtype, shape, self.device)
            .and_then(|t| t.to_dtype(self.dtype))
            .map_err(|source| build(name, source))
    }
}

fn build(name: &str, source: candle_core::Error) -> LoadError {
    LoadError::Build { path: name.into(), source: source.into() }
}

impl CandleModel {
    pub(super) fn load(parts: &Parts) -> Result<Self, LoadError> {
        let (device, dtype) = (Device::Cpu, DType::F32);
        let (config, vision_config) = (&parts.config, &parts.vision_config);
        let tensors = |scope| Tensors { scope, dtype, device: &device };
        let (vision_weights, prefix) = parts.vision_weights();
        let vision = VisionTower::load(vision_config, &tensors(vision_weights.under(prefix)))?;
        let model = tensors(parts.weights.under("")).pp("model");
        let projector = Projector::load(config, vision_config, &model.pp("mm_projector"))?;
        let language = LanguageModel::load(config, &model)?;
        let patches = Patches::new(vision_config, &parts.preprocess.normaliser);
        Ok(Self { patches, vision, projector, language, dtype, device })
    }

    fn features(&self, images: &[&[u8]]) -> candle_core::Result<Tensor> {
        let (count, depth) = (self.patches.count(), self.patches.depth());
        let mut values = vec![0.; images.len() * count * depth];
        for (image, values) in images.iter().zip(values.chunks_mut(count * depth)) {
            values.chunks_mut(depth).enumerate().for_each(|(number, to)| self.patches.write(image, number, to));
        }
        let patches = Tensor::from_vec(values, (images.len(), count, depth), &self.device)?;
        self.vision.forward(&patches.to_dtype(self.dtype)?)
    }

    fn states(&self, batch: &[Prepared]) -> candle_core::Result<Vec<f32>> {
        let rows = batch.iter().map(|sample| self.embed(sample)).collect::<candle_core::Result<Vec<_>>>()?;
        let lengths: Vec<_> = rows.iter().map(|r| r.dim(0)).collect::<candle_core::Result<_>>()?;
        self.language.forward(&Tensor::cat(&rows, 0)?, &lengths)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
    }

    /// A sample's sequence: text embeddings, with an image's embeddings where its token stands.
    fn embed(&self, sample: &Prepared) -> candle_core::Result<Tensor> {
        let mut images = sample.images.iter().map(|image| image.embeddings());
        let mut pieces = Vec::new();
        for run in sample.ids.chunk_by(|a, b| a.is_some() && b.is_some()) {
            let ids: Vec<u32> = run.iter().copied().flatten().collect();
            if ids.is_empty() {
                let Some(Some(Embeddings::Candle(tensor))) = images.next() else {
                    return Err(candle_core::Error::msg("an image token without an image's embeddings"));
                };
                pieces.push(tensor.clone());
            } else {
                pieces.push(self.language.embed(&ids)?);
            }
        }
        Tensor::cat(&pieces, 0)?.narrow(0, 0, sample.positions)
    }
}

fn failed(rows: usize) -> impl Fn(candle_core::Error) -> ModelError {
    move |source| ModelError::Forward { rows, source: source.into() }
}

impl Engine for CandleModel {
    fn encode(&self, images: &[&[u8]]) -> Result<Vec<Embeddings>, ModelError> {
        images.iter().try_for_each(|image| self.patches.check(image))?;
        let mut all = Vec::with_capacity(images.len());
        let failed = failed(images.len());
        for images in images.chunks(IMAGES_AT_ONCE) {
            let features = self.features(images).map_err(&failed)?;
            let embeddings = self.projector.forward(&features).map_err(&failed)?;
            for place in 0..images.len() {
                // A copy: a view would keep the whole chunk's embeddings in memory for one image's.
                let tensor = embeddings.get(place).and_then(|tensor| tensor.copy()).map_err(&failed)?;
                all.push(Embeddings::Candle(tensor));
            }
        }
        Ok(all)
    }

    fn last_states(&self, batch: &[Prepared]) -> Result<Vec<f32>, ModelError> {
        self.states(batch).map_err(failed(batch.len()))
    }

    #[cfg(test)]
    fn vision_features(&self, images: &[&[u8]]) -> Result<Vec<f32>, ModelError> {
        let features = self.features(images).and_then(|f| f.to_dtype(DType::F32)?.flatten_all()?.to_vec1());
        features.map_err(failed(images.len()))
    }
}
