//! UniFilter: one quality score for an image-text pair or an interleaved document.
//!
//! "Train a Unified Multimodal Data Quality Classifier with Synthetic Data", arXiv 2510.15162. A frozen SigLIP vision
//! tower at 384 px (features before the last norm), average-pooled to 144 tokens and projected by a two-layer MLP, takes
//! the places of image tokens in a Qwen2 / Qwen2.5 / Qwen3 backbone without its head; a linear map of the last
//! position's state gives the score (about 0 to 3; with two or more labels, the probability of class 1).

#[cfg(test)]
mod candle;
mod config;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod engine;
mod flops;
#[cfg(test)]
mod golden;
mod head;
mod images;
mod parts;
mod patches;
mod pooling;
mod sample;
mod sequence;
#[cfg(test)]
mod shared_images;
#[cfg(test)]
mod variants;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use crate::checkpoint::Location;
use crate::device::Arithmetic;
use crate::text::Tokens;
use crate::{DeviceChoice, DtypeChoice, Limits, LoadError, ModelError, Prepared, PreparedImage, Sample, SampleError};
use crate::{Scored, Scorer};
pub use config::{Config, VisionConfig};
pub use flops::Work;
pub(crate) use flops::flops;
pub use parts::{Parts, Preprocess};
pub use patches::Patches;
pub use pooling::{Bin, bins};

use cpu::{CpuModel, Way};
use engine::Engine;
use head::Head;
use images::Images;

/// A loaded UniFilter model.
#[derive(Debug)]
pub struct UniFilter {
    parts: Parts,
    tokens: Tokens,
    engine: Box<dyn Engine>,
    head: Head,
    arithmetic: Arithmetic,
    images: Images,
    fingerprint: OnceLock<String>,
}

impl UniFilter {
    /// Loads a checkpoint onto a device.
    pub fn load(location: &Location, device: DeviceChoice, dtype: DtypeChoice) -> Result<Self, LoadError> {
        Self::load_with(location, Arithmetic::of(device, dtype), |parts, arithmetic| {
            if !arithmetic.is_cuda {
                let way = Way { isa: arithmetic.isa(), storage: arithmetic.dtype.storage() };
                return Ok(Box::new(CpuModel::load(parts, way)?));
            }
            #[cfg(feature = "cuda")]
            return Ok(Box::new(cuda::CudaModel::load(parts, device, arithmetic)?));
            #[cfg(not(feature = "cuda"))]
            {
                let reason = "this build of tamis has no CUDA; use cpu or auto".into();
                let device = if let DeviceChoice::Cuda(n) = device { format!("cuda:{n}") } else { "auto".into() };
                Err(LoadError::Device { device, reason })
            }
        })
    }

    fn load_with(
        location: &Location,
        arithmetic: Arithmetic,
        engine: impl FnOnce(&Parts, Arithmetic) -> Result<Box<dyn Engine>, LoadError>,
    ) -> Result<Self, LoadError> {
        let parts = Parts::open(location)?;
        let tokens = Tokens::open(&parts.checkpoint)?;
        let engine = engine(&parts, arithmetic)?;
        let config = &parts.config;
        let head = Head::load(config.hidden_size, parts.num_labels()?, &parts.weights.under("score."))?;
        let pixels = 3 * parts.vision_config.image_size * parts.vision_config.image_size;
        let images = Images::new(pixels + config.mm_num_image_tokens * config.hidden_size * size_of::<f32>());
        Ok(Self { tokens, engine, head, arithmetic, images, parts, fingerprint: OnceLock::new() })
    }

    /// How much arithmetic an image takes, and a caption of `text_tokens` ids over it (the image's own included).
    pub fn work(&self, text_tokens: usize) -> Work {
        flops::work(&self.parts.config, &self.parts.vision_config, text_tokens)
    }

    /// Runs the images of `batch` that have no embeddings yet through the vision tower and the projector, each once, and
    /// leaves the embeddings with them; how many those were.
    pub fn encode_images(&self, batch: &[Prepared]) -> Result<usize, ModelError> {
        let mut seen = HashSet::new();
        let images: Vec<&PreparedImage> = batch
            .iter()
            .flat_map(|sample| &sample.images)
            .filter(|image| image.embeddings().is_none() && seen.insert(Arc::as_ptr(image)))
            .map(Arc::as_ref)
            .collect();
        let pixels: Vec<&[u8]> = images.iter().map(|image| image.pixels()).collect();
        for (image, embeddings) in images.iter().zip(self.engine.encode(&pixels)?) {
            image.set_embeddings(embeddings);
        }
        Ok(images.len())
    }

    /// Features of each sample's first image: the vision tower's, averaged over the patches. What the image is, before
    /// any text.
    pub fn image_features(&self, batch: &[Prepared]) -> Result<Vec<Vec<f32>>, ModelError> {
        let images: Vec<&[u8]> = batch.iter().filter_map(|sample| sample.images.first()).map(|i| i.pixels()).collect();
        if images.is_empty() {
            return Ok(vec![]);
        }
        let features = self.engine.vision_features(&images)?;
        let hidden = self.parts.vision_config.hidden_size;
        let mean = |patches: &[f32]| {
            let mut sum = vec![0.0; hidden];
            for patch in patches.chunks_exact(hidden) {
                sum.iter_mut().zip(patch).for_each(|(sum, x)| *sum += x);
            }
            let count = (patches.len() / hidden).max(1) as f32;
            sum.iter().map(|x| x / count).collect()
        };
        Ok(features.chunks_exact(features.len() / images.len()).map(mean).collect())
    }

    /// Runs the language model over samples whose images have their embeddings; gives the last positions' states
    /// [samples, hidden].
    pub fn last_states(&self, batch: &[Prepared]) -> Result<Vec<f32>, ModelError> {
        self.engine.last_states(batch)
    }
}

impl Scorer for UniFilter {
    fn fingerprint(&self) -> Result<&str, LoadError> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known);
        }
        let computed = self.parts.fingerprint(self.arithmetic)?;
        Ok(self.fingerprint.get_or_init(|| computed))
    }

    fn prepare(&self, sample: &Sample<'_>, limits: &Limits) -> Result<Prepared, SampleError> {
        sample::prepare(self, sample, limits)
    }

    fn score(&self, batch: &[Prepared]) -> Result<Scored, ModelError> {
        if batch.is_empty() {
            return Ok(Scored::default());
        }
        let images_encoded = self.encode_images(batch)?;
        let scores = self.head.scores(&self.last_states(batch)?);
        if scores.iter().all(|s| s.is_finite()) {
            Ok(Scored { scores, images_encoded })
        } else {
            Err(ModelError::NotFinite)
        }
    }
}
