//! UniFilter: one quality score for an image-text pair or an interleaved document.
//!
//! "Train a Unified Multimodal Data Quality Classifier with Synthetic Data", arXiv 2510.15162. A frozen SigLIP vision
//! tower at 384 px (features before the last norm), average-pooled to 144 tokens and projected by a two-layer MLP, takes
//! the places of image tokens in a Qwen2 / Qwen2.5 / Qwen3 backbone without its head; a linear map of the last
//! position's state gives the score (about 0 to 3; with two or more labels, the probability of class 1).

mod config;
mod flops;
#[cfg(test)]
mod golden;
mod images;
mod language;
mod layers;
mod parts;
mod patches;
mod projector;
mod sample;
#[cfg(test)]
mod shared_images;
#[cfg(test)]
mod variants;
mod vision;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use candle_core::{Device, Result, Tensor};
use candle_nn::{Linear, Module};

use crate::checkpoint::Location;
use crate::device::{self, Arithmetic};
use crate::text::Tokens;
use crate::{DeviceChoice, DtypeChoice, Limits, LoadError, ModelError, Prepared, PreparedImage, Sample, SampleError};
use crate::{Scored, Scorer};
pub(crate) use flops::flops;
pub(crate) use parts::Parts;

use images::Images;
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
    arithmetic: Arithmetic,
    images: Images,
    fingerprint: OnceLock<String>,
}

impl UniFilter {
    /// Loads a checkpoint onto a device.
    pub fn load(location: &Location, device: DeviceChoice, dtype: DtypeChoice) -> std::result::Result<Self, LoadError> {
        let parts = Parts::open(location)?;
        let tokens = Tokens::open(&parts.checkpoint)?;
        let arithmetic = Arithmetic::of(device, dtype);
        let device = device::open(device)?;
        let dtype = arithmetic.dtype;
        let (config, vision_config) = (&parts.config, &parts.vision_config);
        let (vision_weights, prefix) = parts.vision_weights();
        let vision = VisionTower::load(vision_config, &vision_weights.under(prefix, dtype, &device))?;
        let own = parts.weights.under("", dtype, &device);
        let model = own.pp("model");
        let projector = Projector::load(config, vision_config, &device, dtype, &model.pp("mm_projector"))?;
        let language = LanguageModel::load(config, &model)?;
        let score = linear_no_bias(config.hidden_size, parts.num_labels()?, &own.pp("score"))?;
        let patches = Patches::new(vision_config, &parts.preprocess.normaliser);
        let pixels = 3 * vision_config.image_size * vision_config.image_size;
        let images = Images::new(pixels + config.mm_num_image_tokens * config.hidden_size * dtype.size_in_bytes());
        Ok(Self {
            tokens,
            patches,
            vision,
            projector,
            language,
            score,
            device,
            arithmetic,
            parts,
            images,
            fingerprint: OnceLock::new(),
        })
    }

    /// Runs resized images (uint8, HWC, RGB) through the vision tower: features before the last norm
    /// [images, patches, vision hidden].
    pub fn vision_features(&self, images: &[&[u8]]) -> Result<Tensor> {
        let patches = self.patches.of(images, &self.device)?.to_dtype(self.arithmetic.dtype)?;
        self.vision.forward(&patches)
    }

    /// Runs the images of `batch` that have no embeddings yet through the vision tower and the projector, each once, and
    /// leaves the embeddings with them; how many those were.
    pub fn encode_images(&self, batch: &[Prepared]) -> Result<usize> {
        let mut seen = HashSet::new();
        let images: Vec<&PreparedImage> = batch
            .iter()
            .flat_map(|sample| &sample.images)
            .filter(|image| image.embeddings().is_none() && seen.insert(Arc::as_ptr(image)))
            .map(Arc::as_ref)
            .collect();
        for chunk in images.chunks(IMAGES_AT_ONCE) {
            let pixels: Vec<&[u8]> = chunk.iter().map(|image| image.pixels()).collect();
            let embeddings = self.projector.forward(&self.vision_features(&pixels)?)?;
            for (place, image) in chunk.iter().enumerate() {
                // A copy: a view would keep the whole chunk's embeddings in memory for one image's.
                image.set_embeddings(embeddings.get(place)?.copy()?);
            }
        }
        Ok(images.len())
    }

    /// Runs the language model over samples whose images have their embeddings; gives the last positions' states
    /// [samples, hidden].
    pub fn last_states(&self, batch: &[Prepared]) -> Result<Tensor> {
        let rows = batch.iter().map(|sample| self.embed(sample)).collect::<Result<Vec<_>>>()?;
        let lengths: Vec<_> = rows.iter().map(|r| r.dim(0)).collect::<Result<_>>()?;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let padded = rows.iter().zip(&lengths).map(|(row, n)| row.pad_with_zeros(0, 0, longest - n));
        self.language.forward(&Tensor::stack(&padded.collect::<Result<Vec<_>>>()?, 0)?, &lengths)
    }

    /// A sample's sequence: text embeddings, with an image's embeddings where its token stands.
    fn embed(&self, sample: &Prepared) -> Result<Tensor> {
        let mut images = sample.images.iter().map(|image| image.embeddings());
        let mut pieces = Vec::new();
        for run in sample.ids.chunk_by(|a, b| a.is_some() && b.is_some()) {
            let ids: Vec<u32> = run.iter().copied().flatten().collect();
            if ids.is_empty() {
                let missing = || candle_core::Error::msg("an image token without an image's embeddings");
                pieces.push(images.next().flatten().ok_or_else(missing)?.clone());
            } else {
                pieces.push(self.language.embed(&ids)?);
            }
        }
        Tensor::cat(&pieces, 0)?.narrow(0, 0, sample.positions)
    }

    fn forward(&self, batch: &[Prepared]) -> Result<Scored> {
        let images_encoded = self.encode_images(batch)?;
        let states = self.last_states(batch)?;
        Ok(Scored { scores: score_of_logits(&self.score.forward(&states)?)?, images_encoded })
    }
}

impl Scorer for UniFilter {
    fn fingerprint(&self) -> std::result::Result<&str, LoadError> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known);
        }
        let computed = self.parts.fingerprint(self.arithmetic)?;
        Ok(self.fingerprint.get_or_init(|| computed))
    }

    fn prepare(&self, sample: &Sample<'_>, limits: &Limits) -> std::result::Result<Prepared, SampleError> {
        sample::prepare(self, sample, limits)
    }

    fn score(&self, batch: &[Prepared]) -> std::result::Result<Scored, ModelError> {
        if batch.is_empty() {
            return Ok(Scored::default());
        }
        let scored = self.forward(batch).map_err(|source| ModelError::Forward { rows: batch.len(), source })?;
        if scored.scores.iter().all(|s| s.is_finite()) { Ok(scored) } else { Err(ModelError::NotFinite) }
    }
}
