//! UniFilter as a model that can be trained.
//!
//! The arithmetic is that of the inference engines ([`tamis_models::unifilter`]); what is here has gradients.

mod batch;
mod gradients;
mod language;
mod parameters;
mod projector;
mod vision;

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};
use tamis_models::unifilter::{Config, Parts as Files, Patches, VisionConfig};

pub(crate) use batch::Batch;
pub use gradients::Gradients;
pub(crate) use parameters::TOWER;
pub use parameters::{Parameters, Part};

use crate::TrainingError;
use crate::data::Sample;
use crate::ops::{Groups, Rotation, cross_entropy, linear};
use gradients::{Stage, Tape};
use language::Places;
use parameters::{Initial, Loader};

/// Images that go through a frozen tower at once.
const AT_ONCE: usize = 16;

/// What a model begins as.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Which parts are trained.
    pub trained: Vec<Part>,
    /// Whether all tensors are made anew, by the configuration alone.
    pub is_new: bool,
    /// How many labels the head has: one score, or so many classes.
    pub labels: usize,
    /// Of what is random.
    pub seed: u64,
}

/// What is to be made small.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// The error of the score or the class: squared with one label, cross-entropy with more.
    pub score: f64,
    /// The cross-entropy of next tokens, of samples whose label is at least `from`.
    pub next_token: f64,
    /// As above; minus infinity for all samples.
    pub from: f32,
}

/// The images of a step.
#[derive(Debug, Clone)]
pub(crate) enum Images {
    /// Resized pixels of each (uint8, HWC, RGB).
    Pixels(Vec<Vec<u8>>),
    /// Pooled features of each [tokens, width].
    Features(Vec<Vec<f32>>),
}

/// What a step's forward pass gave.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The loss, its parts weighed.
    pub loss: f32,
    /// The error of the scores alone.
    pub score_loss: f32,
    /// The cross-entropy of next tokens alone.
    pub next_token_loss: f32,
    /// By sample: its logits.
    pub logits: Vec<Vec<f32>>,
}

/// The model.
#[derive(Debug)]
pub struct Model {
    config: Config,
    vision: VisionConfig,
    patches: Patches,
    parameters: Parameters,
    labels: usize,
    /// Whether states between blocks are computed once more instead of kept.
    recomputes: bool,
    made: Vec<String>,
}

impl Model {
    /// The model of these files, on a device.
    pub fn load(
        files: &Files,
        beginning: &Beginning,
        device: &Device,
        dtype: DType,
    ) -> std::result::Result<Self, TrainingError> {
        let (config, vision) = (files.config.clone(), files.vision_config.clone());
        let mut loader = Loader::new(files, &beginning.trained, beginning.is_new, beginning.seed, device, dtype);
        vision::load(&vision, &mut loader)?;
        projector::load(&config, &vision, &mut loader)?;
        language::load(&config, &mut loader)?;
        if let Some(shape) = files.weights.shape(language::NEXT_TOKEN) {
            loader.add(language::NEXT_TOKEN, shape, Initial::Zeros)?;
        }
        loader.add("score.weight", &[beginning.labels, config.hidden_size], Initial::Normal(0.02))?;
        let (parameters, made) = loader.finish();
        let patches = Patches::new(&vision, &files.preprocess.normaliser);
        Ok(Self { config, vision, patches, parameters, labels: beginning.labels, recomputes: false, made })
    }

    /// The tensors.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Names of the tensors that were made anew.
    pub fn made(&self) -> &[String] {
        &self.made
    }

    /// Puts other numbers into tensors of these names.
    pub fn replace(&mut self, tensors: Vec<(String, Tensor)>) -> std::result::Result<(), TrainingError> {
        for (name, tensor) in tensors {
            self.parameters.replace(&name, &tensor)?;
            self.made.retain(|made| *made != name);
        }
        Ok(())
    }

    /// How many labels the head has.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Computes states between blocks once more for the gradients instead of keeping them: less memory, a third more time.
    pub fn recompute(&mut self, recomputes: bool) {
        self.recomputes = recomputes;
    }

    /// Numbers of one image's pooled features: tokens by width.
    pub(crate) fn feature_count(&self) -> usize {
        self.config.mm_num_image_tokens * self.vision.hidden_size
    }

    /// Pooled features of images, without gradients: what a frozen tower gives once and for all.
    pub(crate) fn features(&self, images: &[Vec<u8>]) -> std::result::Result<Vec<Vec<f32>>, TrainingError> {
        let failed = || TrainingError::compute("computing vision features");
        let mut all = Vec::with_capacity(images.len());
        for images in images.chunks(AT_ONCE) {
            let pooled = self.pooled(images).map_err(failed())?;
            let values: Vec<f32> =
                pooled.to_dtype(DType::F32).and_then(|x| x.flatten_all()?.to_vec1()).map_err(failed())?;
            all.extend(values.chunks(self.feature_count()).map(<[f32]>::to_vec));
        }
        Ok(all)
    }

    fn pooled(&self, images: &[Vec<u8>]) -> Result<Tensor> {
        let mut x = self.cut(images)?;
        for stage in self.tower(images.len()) {
            x = stage(&x)?.detach();
        }
        Ok(x)
    }

    /// Patches of images [images * patches, 3 * patch * patch].
    fn cut(&self, images: &[Vec<u8>]) -> Result<Tensor> {
        let (count, depth) = (self.patches.count(), self.patches.depth());
        let mut values = vec![0f32; images.len() * count * depth];
        for (image, values) in images.iter().zip(values.chunks_mut((count * depth).max(1))) {
            self.patches.check(image).map_err(candle_core::Error::wrap)?;
            values.chunks_mut(depth).enumerate().for_each(|(number, to)| self.patches.write(image, number, to));
        }
        let shape = (images.len() * count, depth);
        Tensor::from_vec(values, shape, self.parameters.device())?.to_dtype(self.parameters.dtype())
    }

    /// From patches to pooled features.
    fn tower(&self, images: usize) -> Vec<Stage<'_>> {
        let groups = Groups::whole(images, self.patches.count());
        let mut stages: Vec<Stage<'_>> = vec![Box::new(|x| vision::embed(&self.vision, &self.parameters, x))];
        for layer in 0..self.vision.num_hidden_layers {
            let groups = groups.clone();
            stages.push(Box::new(move |x| vision::block(&self.vision, &self.parameters, layer, x, &groups)));
        }
        stages.push(Box::new(|x| projector::pool(&self.config, &self.vision, x)));
        stages
    }

    /// The decoder's blocks.
    fn decoder(&self, places: &Places) -> Vec<Stage<'_>> {
        let layers = 0..self.config.num_hidden_layers;
        let block = |layer| -> Stage<'_> {
            let places = places.clone();
            Box::new(move |x: &Tensor| language::block(&self.config, &self.parameters, layer, x, &places))
        };
        layers.map(block).collect()
    }

    /// The loss of a batch and the gradients of all that is trained.
    pub(crate) fn gradients(
        &self,
        samples: &[Arc<Sample>],
        images: impl FnOnce(&[u32]) -> std::result::Result<Images, TrainingError>,
        loss: Loss,
    ) -> std::result::Result<(Outcome, Gradients), TrainingError> {
        let batch = self.batch(samples);
        let images = images(&batch.images)?;
        self.step(&batch, samples, &images, loss, true).map_err(TrainingError::compute("computing gradients"))
    }

    /// The loss and the logits of a batch.
    pub(crate) fn outcome(
        &self,
        samples: &[Arc<Sample>],
        images: impl FnOnce(&[u32]) -> std::result::Result<Images, TrainingError>,
        loss: Loss,
    ) -> std::result::Result<Outcome, TrainingError> {
        let batch = self.batch(samples);
        let images = images(&batch.images)?;
        let step = self.step(&batch, samples, &images, loss, false);
        Ok(step.map_err(TrainingError::compute("scoring"))?.0)
    }

    fn batch(&self, samples: &[Arc<Sample>]) -> Batch {
        let most = self.config.tokenizer_model_max_length.unwrap_or(usize::MAX);
        Batch::new(samples, self.config.mm_num_image_tokens, most)
    }

    fn step(
        &self,
        batch: &Batch,
        samples: &[Arc<Sample>],
        images: &Images,
        loss: Loss,
        wants_gradients: bool,
    ) -> Result<(Outcome, Gradients)> {
        let (device, dtype) = (self.parameters.device(), self.parameters.dtype());
        let mut tape = Tape::new(&self.parameters, self.recomputes);
        let pooled = match images {
            Images::Pixels(images) if self.parameters.trains(Part::Vision) => {
                tape.through(self.cut(images)?, self.tower(images.len()))?
            }
            Images::Pixels(images) => self.pooled(images)?,
            Images::Features(features) => {
                let (values, width) = (features.concat(), self.vision.hidden_size);
                let rows = values.len() / width;
                Tensor::from_vec(values, (rows, width), device)?.to_dtype(dtype)?
            }
        };
        let embeddings = self.parameters.get(language::EMBEDDINGS)?;
        let tokens = embeddings.index_select(&Tensor::new(batch.tokens.as_slice(), device)?, 0)?;
        let all = match batch.images.is_empty() {
            true => tokens,
            false => Tensor::cat(&[&tokens, &projector::project(&self.parameters, &pooled)?], 0)?,
        };
        let rows = all.index_select(&Tensor::new(batch.order.as_slice(), device)?, 0)?;
        let places = Places {
            groups: Groups::new(batch.groups.iter().cloned(), true),
            rotation: Rotation::new(&batch.positions, self.config.head_dim(), self.config.rope_theta()),
        };
        let states = tape.through(rows, self.decoder(&places))?;
        let (outcome, total) = self.losses(batch, samples, &states, loss)?;
        let gradients = match wants_gradients {
            true => tape.gradients(&total)?,
            false => Gradients::default(),
        };
        Ok((outcome, gradients))
    }

    fn normed(&self, states: &Tensor, rows: &[u32]) -> Result<Tensor> {
        let states = states.index_select(&Tensor::new(rows, states.device())?, 0)?;
        crate::ops::rms_norm(&states, &self.parameters.get("model.norm.weight")?, self.config.rms_norm_eps)
    }

    fn losses(&self, batch: &Batch, samples: &[Arc<Sample>], states: &Tensor, loss: Loss) -> Result<(Outcome, Tensor)> {
        let mut outcome = Outcome::default();
        let mut total = Tensor::zeros((), DType::F32, states.device())?;
        if loss.score != 0. {
            let last = self.normed(states, &batch.last)?;
            let logits = linear(&last, &self.parameters.get("score.weight")?, None)?.to_dtype(DType::F32)?;
            let labels: Vec<f32> = batch.samples.iter().map(|sample| samples[*sample].label).collect();
            let error = match self.labels {
                1 => (logits.squeeze(1)? - Tensor::new(labels, states.device())?)?.sqr()?.mean_all()?,
                _ => cross_entropy(&logits, &labels.iter().map(|label| *label as u32).collect::<Vec<_>>())?,
            };
            outcome.score_loss = error.to_scalar()?;
            outcome.logits = vec![vec![]; samples.len()];
            for (sample, logits) in batch.samples.iter().zip(logits.to_vec2()?) {
                outcome.logits[*sample] = logits;
            }
            total = (total + (error * loss.score)?)?;
        }
        if loss.next_token != 0. {
            let (rows, targets): (Vec<u32>, Vec<u32>) = batch
                .next
                .iter()
                .filter(|(_, _, sample)| samples[*sample].label >= loss.from)
                .map(|(row, target, _)| (*row, *target))
                .unzip();
            if !rows.is_empty() {
                let name =
                    if self.parameters.has(language::NEXT_TOKEN) { language::NEXT_TOKEN } else { language::EMBEDDINGS };
                let logits = linear(&self.normed(states, &rows)?, &self.parameters.get(name)?, None)?;
                let error = cross_entropy(&logits, &targets)?;
                outcome.next_token_loss = error.to_scalar()?;
                total = (total + (error * loss.next_token)?)?;
            }
        }
        outcome.loss = total.to_scalar()?;
        Ok((outcome, total))
    }
}
