//! UniFilter: one quality score for an image-text pair or an interleaved document.
//!
//! "Train a Unified Multimodal Data Quality Classifier with Synthetic Data", arXiv 2510.15162. A frozen SigLIP vision
//! tower at 384 px (features before the last norm), average-pooled to 144 tokens and projected by a two-layer MLP, takes
//! the places of image tokens in a Qwen2 / Qwen2.5 / Qwen3 backbone without its head; a linear map of the last
//! position's state gives the score (about 0 to 3; with two or more labels, the probability of class 1).

mod config;
#[cfg(test)]
mod golden;
mod language;
mod layers;
mod parts;
mod patches;
mod projector;
mod sample;
#[cfg(test)]
mod variants;
mod vision;

use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Linear, Module};

use crate::checkpoint::Location;
use crate::text::Tokens;
use crate::{DeviceChoice, DtypeChoice, Limits, LoadError, ModelError, Prepared, Sample, SampleError, Scorer};
pub(crate) use parts::Parts;

use language::LanguageModel;
use layers::{linear_no_bias, score_of_logits};
use patches::Patches;
use projector::Projector;
use vision::VisionTower;

/// Images that go through the vision tower at once: bounds the memory that attention takes.
const IMAGES_AT_ONCE: usize = 8;

/// A loaded UniFilter model.
#[derive(Debug)]
pub struct UniFilter {
    parts: Parts,
    tokens: Tokens,
    patches: Patches,
    vision: VisionTower,
    projector: Projector,
    language: LanguageModel,
    score: Linear,
    device: Device,
    dtype: DType,
    fingerprint: OnceLock<String>,
}

impl UniFilter {
    /// Loads a checkpoint onto a device.
    pub fn load(location: &Location, device: DeviceChoice, dtype: DtypeChoice) -> std::result::Result<Self, LoadError> {
        let parts = Parts::open(location)?;
        let tokens = Tokens::open(&parts.checkpoint)?;
        let device = open_device(device)?;
        let dtype = match dtype {
            DtypeChoice::Auto if device.is_cpu() => DType::F32,
            DtypeChoice::Auto | DtypeChoice::Bf16 => DType::BF16,
            DtypeChoice::F32 => DType::F32,
            DtypeChoice::F16 => DType::F16,
        };
        let (config, vision_config) = (&parts.config, &parts.vision_config);
        let (vision_weights, prefix) = parts.vision_weights();
        let vision = VisionTower::load(vision_config, &vision_weights.under(prefix, dtype, &device))?;
        let own = parts.weights.under("", dtype, &device);
        let model = own.pp("model");
        let projector = Projector::load(config, vision_config, &device, dtype, &model.pp("mm_projector"))?;
        let language = LanguageModel::load(config, &model)?;
        let score = linear_no_bias(config.hidden_size, parts.num_labels()?, &own.pp("score"))?;
        let patches = Patches::new(vision_config, &parts.preprocess.normaliser);
        Ok(Self {
            tokens,
            patches,
            vision,
            projector,
            language,
            score,
            device,
            dtype,
            parts,
            fingerprint: OnceLock::new(),
        })
    }

    /// Runs resized images (uint8, HWC, RGB) through the vision tower: features before the last norm
    /// [images, patches, vision hidden].
    pub fn vision_features(&self, images: &[&[u8]]) -> Result<Tensor> {
        let patches = self.patches.of(images, &self.device)?.to_dtype(self.dtype)?;
        self.vision.forward(&patches)
    }

    /// Runs resized images (uint8, HWC, RGB) through the vision tower and the projector: embeddings
    /// [images, tokens an image, hidden].
    pub fn image_embeddings(&self, images: &[&[u8]]) -> Result<Tensor> {
        let chunks = images.chunks(IMAGES_AT_ONCE).map(|chunk| self.projector.forward(&self.vision_features(chunk)?));
        Tensor::cat(&chunks.collect::<Result<Vec<_>>>()?, 0)
    }

    /// Runs the language model over samples whose images have these embeddings, in order; gives the last positions'
    /// states [samples, hidden].
    pub fn last_states(&self, batch: &[Prepared], images: Option<&Tensor>) -> Result<Tensor> {
        let mut next_image = 0;
        let mut rows = Vec::with_capacity(batch.len());
        for sample in batch {
            rows.push(self.embed(sample, images, &mut next_image)?);
        }
        let lengths: Vec<_> = rows.iter().map(|r| r.dim(0)).collect::<Result<_>>()?;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let padded = rows.iter().zip(&lengths).map(|(row, n)| row.pad_with_zeros(0, 0, longest - n));
        self.language.forward(&Tensor::stack(&padded.collect::<Result<Vec<_>>>()?, 0)?, &lengths)
    }

    /// A sample's sequence: text embeddings, with an image's embeddings where its token stands.
    fn embed(&self, sample: &Prepared, images: Option<&Tensor>, next_image: &mut usize) -> Result<Tensor> {
        let mut pieces = Vec::new();
        for run in sample.ids.chunk_by(|a, b| a.is_some() && b.is_some()) {
            let ids: Vec<u32> = run.iter().copied().flatten().collect();
            if ids.is_empty() {
                let images = images.ok_or_else(|| candle_core::Error::msg("an image token without an image"))?;
                pieces.push(images.get(*next_image)?);
                *next_image += 1;
            } else {
                pieces.push(self.language.embed(&ids)?);
            }
        }
        Tensor::cat(&pieces, 0)?.narrow(0, 0, sample.positions)
    }

    fn forward(&self, batch: &[Prepared]) -> Result<Vec<f32>> {
        let images: Vec<&[u8]> = batch.iter().flat_map(|s| &s.images).map(Vec::as_slice).collect();
        let images = if images.is_empty() { None } else { Some(self.image_embeddings(&images)?) };
        let states = self.last_states(batch, images.as_ref())?;
        score_of_logits(&self.score.forward(&states)?)
    }
}

impl Scorer for UniFilter {
    fn fingerprint(&self) -> std::result::Result<&str, LoadError> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known);
        }
        let computed = self.parts.fingerprint(self.dtype.as_str())?;
        Ok(self.fingerprint.get_or_init(|| computed))
    }

    fn prepare(&self, sample: &Sample<'_>, limits: &Limits) -> std::result::Result<Prepared, SampleError> {
        sample::prepare(&self.parts, &self.tokens, sample, limits)
    }

    fn score(&self, batch: &[Prepared]) -> std::result::Result<Vec<f32>, ModelError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let scores = self.forward(batch).map_err(|source| ModelError::Forward { rows: batch.len(), source })?;
        if scores.iter().all(|s| s.is_finite()) { Ok(scores) } else { Err(ModelError::NotFinite) }
    }
}

/// Opens the device that was asked for.
fn open_device(choice: DeviceChoice) -> std::result::Result<Device, LoadError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => {
            Device::cuda_if_available(0).map_err(|e| LoadError::Device { device: "auto".into(), reason: e.to_string() })
        }
        DeviceChoice::Cuda(n) => Device::new_cuda(n).map_err(|e| {
            let reason = match candle_core::utils::cuda_is_available() {
                true => e.to_string(),
                false => "this build of tamis has no CUDA; use cpu or auto".into(),
            };
            LoadError::Device { device: format!("cuda:{n}"), reason }
        }),
    }
}
