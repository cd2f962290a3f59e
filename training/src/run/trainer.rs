//! The loop: batches, gradients, steps, evaluations, states.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use tamis_models::unifilter::Parts as Files;

use super::evaluation::{Evaluated, figures};
use super::metrics::{Metrics, Step};
use crate::TrainingError;
use crate::data::{Aspect, Order, Sample, Store};
use crate::files::{Progress, SavedAs, read_state, save_model, write_state};
use crate::model::{Gradients, Images, Loss, Model, Part};
use crate::optimizer::{Optimizer, Schedule, Settings};

/// Samples that are scored at once in an evaluation.
const SCORED_AT_ONCE: usize = 64;
/// Pictures whose features are computed at once.
const FEATURES_AT_ONCE: usize = 32;
/// A state is written this often, whatever else happens.
const SAVED_EVERY: Duration = Duration::from_secs(10 * 60);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often each sample is looked at; ignored if `steps` is given.
    pub epochs: usize,
    /// So many steps of the optimiser, however many epochs that is.
    pub steps: Option<usize>,
    /// Samples of a batch.
    pub batch: usize,
    /// Batches of a step.
    pub accumulate: usize,
    /// The highest learning rate.
    pub rate: f64,
    /// Steps until it is reached: a share of all below 1, a number from 1 on.
    pub warmup: f64,
    /// Of what is random.
    pub seed: u64,
    /// Whether each epoch has an order of its own.
    pub shuffles: bool,
    /// What is made small.
    pub loss: Loss,
    /// How the optimiser works.
    pub optimizer: Settings,
    /// Pictures are moved by up to so many pixels, each time otherwise.
    pub shift: u32,
    /// Steps between evaluations; `None`: at the end of each epoch.
    pub evaluate_every: Option<usize>,
    /// The training ends after so many evaluations without a better one.
    pub patience: Option<usize>,
    /// Steps between states; `None`: where evaluations are, and every ten minutes.
    pub save_every: Option<usize>,
    /// How pictures become squares; noted with the model.
    pub aspect: Aspect,
    /// What weights are stored in.
    pub saved_as: SavedAs,
    /// Whether the newest state in the folder is gone on from.
    pub resumes: bool,
    /// Where the model goes, and the states on the way to it.
    pub folder: PathBuf,
    /// Where the steps are noted; `None`: metrics.jsonl in the folder.
    pub metrics: Option<PathBuf>,
}

/// What happens on the way.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Features of a frozen tower were computed for so many of all pictures.
    Features {
        /// How many have theirs.
        done: usize,
        /// How many there are.
        all: usize,
    },
    /// A training goes on after this step.
    Resumed {
        /// The last step that was taken before.
        step: usize,
    },
    /// A step was taken, of so many.
    Step {
        /// What it was like.
        step: Step,
        /// All steps.
        of: usize,
        /// How long the rest will take at the pace of the last steps.
        left: Duration,
    },
    /// The validation set was scored.
    Evaluated {
        /// Figures.
        figures: Evaluated,
        /// Whether there were none better before.
        is_best: bool,
    },
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All steps were taken.
    Done,
    /// No evaluation was better for so long that it was ended.
    Early,
    /// It was told to stop; its state is in the folder.
    Stopped,
}

/// A training.
#[derive(Debug)]
pub struct Trainer<'a> {
    model: &'a Model,
    files: &'a Files,
    store: &'a mut Store,
    samples: &'a [Arc<Sample>],
    validation: &'a [Arc<Sample>],
    plan: &'a Plan,
    order: Order,
    schedule: Schedule,
    steps_per_epoch: usize,
    optimizer: Optimizer,
    progress: Progress,
    features: bool,
}

impl<'a> Trainer<'a> {
    /// A training of `model`, which is of these files.
    pub fn new(
        model: &'a Model,
        files: &'a Files,
        store: &'a mut Store,
        samples: &'a [Arc<Sample>],
        validation: &'a [Arc<Sample>],
        plan: &'a Plan,
    ) -> Result<Self, TrainingError> {
        if samples.is_empty() {
            return Err(TrainingError::Data("there is no sample to train on".into()));
        }
        if model.parameters().trained().next().is_none() {
            return Err(TrainingError::Usage("every part of the model is frozen: there is nothing to train".into()));
        }
        let images = samples.iter().map(|sample| sample.images.first().copied());
        let order = Order::new(images, plan.batch, plan.shuffles, plan.seed);
        let steps_per_epoch = order.batches().div_ceil(plan.accumulate.max(1));
        let steps = plan.steps.unwrap_or(plan.epochs * steps_per_epoch);
        if steps == 0 {
            return Err(TrainingError::Usage("no step is to be taken: give more --epochs or --steps".into()));
        }
        let optimizer = Optimizer::new(plan.optimizer);
        let schedule = Schedule::new(plan.rate, plan.warmup, steps);
        let features = !model.parameters().trains(Part::Vision) && plan.shift == 0;
        let progress = Progress { settings: settings(plan, model, samples.len(), steps), ..Progress::default() };
        Ok(Self {
            model,
            files,
            store,
            samples,
            validation,
            plan,
            order,
            schedule,
            steps_per_epoch,
            optimizer,
            progress,
            features,
        })
    }

    /// Where states lie.
    fn states(&self) -> PathBuf {
        self.plan.folder.join("state")
    }

    /// Trains until the end, or until `stop` is set. What is noted on the way is given back for a report.
    pub fn run(&mut self, stop: &AtomicBool, tell: &mut dyn FnMut(Event)) -> Result<(Ended, Metrics), TrainingError> {
        if self.plan.resumes {
            let parameters = self.model.parameters();
            let found = read_state(&self.states(), &self.progress.settings, parameters, &mut self.optimizer)?;
            if let Some(progress) = found {
                tell(Event::Resumed { step: progress.step });
                self.progress = progress;
            }
        }
        let path = self.plan.metrics.clone().unwrap_or_else(|| self.plan.folder.join("metrics.jsonl"));
        let mut metrics = Metrics::open(&path, &self.plan.folder.join("tensorboard"), self.progress.step)?;
        self.compute_features(stop, tell)?;
        let ended = self.steps(stop, tell, &mut metrics)?;
        if ended != Ended::Stopped {
            if self.validation.is_empty() {
                self.save_model()?;
            }
            self.save_state()?;
        }
        Ok((ended, metrics))
    }

    fn steps(
        &mut self,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Event),
        metrics: &mut Metrics,
    ) -> Result<Ended, TrainingError> {
        let mut epoch: Option<(usize, Vec<Vec<usize>>)> = None;
        let mut saved = Instant::now();
        let mut pace = Pace::begin();
        while self.progress.step < self.schedule.steps {
            if stop.load(Ordering::Relaxed) {
                self.save_state()?;
                return Ok(Ended::Stopped);
            }
            if self.is_given_up() {
                return Ok(Ended::Early);
            }
            let number = self.progress.step / self.steps_per_epoch;
            if epoch.as_ref().is_none_or(|(known, _)| *known != number) {
                epoch = Some((number, self.order.epoch(number)));
            }
            let first = self.progress.step % self.steps_per_epoch * self.plan.accumulate;
            let batches = epoch.as_ref().map(|(_, batches)| batches.as_slice()).unwrap_or_default();
            let batches = &batches[first.min(batches.len())..(first + self.plan.accumulate).min(batches.len())];
            let mut step = self.step(batches)?;
            let samples = batches.iter().map(Vec::len).sum();
            step.epoch = number + 1;
            step.samples_per_second = pace.step(samples);
            let left = pace.left(self.schedule.steps - step.step);
            metrics.step(step.clone())?;
            tell(Event::Step { step, of: self.schedule.steps, left });

            let is_evaluated = !self.validation.is_empty() && self.is_due(self.plan.evaluate_every);
            if is_evaluated {
                self.evaluate(tell, metrics)?;
            }
            let is_due = match self.plan.save_every {
                Some(_) => self.is_due(self.plan.save_every),
                None => is_evaluated || saved.elapsed() > SAVED_EVERY,
            };
            if is_due {
                self.save_state()?;
                saved = Instant::now();
            }
        }
        Ok(if self.is_given_up() { Ended::Early } else { Ended::Done })
    }

    fn is_given_up(&self) -> bool {
        self.plan.patience.is_some_and(|patience| self.progress.since_best >= patience)
    }

    /// Whether something that happens every so many steps, or at the end of an epoch, happens now. All of it happens at the end.
    fn is_due(&self, every: Option<usize>) -> bool {
        let step = self.progress.step;
        step == self.schedule.steps || step.is_multiple_of(every.unwrap_or(self.steps_per_epoch).max(1))
    }

    /// One step of the optimiser.
    fn step(&mut self, batches: &[Vec<usize>]) -> Result<Step, TrainingError> {
        let (number, share) = (self.progress.step, 1. / batches.len().max(1) as f64);
        let mut gradients = Gradients::default();
        let mut step = Step { step: number + 1, learning_rate: self.schedule.at(number), ..Step::default() };
        for batch in batches {
            let samples: Vec<Arc<Sample>> = batch.iter().map(|sample| Arc::clone(&self.samples[*sample])).collect();
            let images = |images: &[u32]| self.images(images, Some(number));
            let (outcome, found) = self.model.gradients(&samples, images, self.plan.loss)?;
            if !outcome.loss.is_finite() {
                return Err(TrainingError::Diverged { step: number + 1, loss: outcome.loss });
            }
            gradients.add(found, share).map_err(TrainingError::compute("adding gradients"))?;
            step.loss += outcome.loss * share as f32;
            step.score_loss += outcome.score_loss * share as f32;
            step.next_token_loss += outcome.next_token_loss * share as f32;
        }
        let changed = self.optimizer.step(self.model.parameters(), &gradients, step.learning_rate);
        step.gradient_norm = changed.map_err(TrainingError::compute("a step of the optimiser"))?;
        self.progress.step += 1;
        Ok(step)
    }

    /// The pictures of a batch; in a step they may be moved.
    fn images(&self, numbers: &[u32], step: Option<usize>) -> Result<Images, TrainingError> {
        if self.features {
            let features = numbers.iter().map(|number| Ok(self.store.features(*number)?.unwrap_or_default()));
            return Ok(Images::Features(features.collect::<Result<_, TrainingError>>()?));
        }
        let side = self.files.vision_config.image_size;
        let pixels = numbers.par_iter().map(|number| {
            let pixels = self.store.pixels(*number)?;
            Ok(match step {
                Some(step) if self.plan.shift > 0 => {
                    let random = mix(self.plan.seed ^ ((step as u64) << 32) ^ u64::from(*number));
                    shifted(&pixels, side, self.plan.shift, random)
                }
                _ => pixels,
            })
        });
        Ok(Images::Pixels(pixels.collect::<Result<_, TrainingError>>()?))
    }

    /// Computes what a frozen tower makes of the pictures, once.
    fn compute_features(&mut self, stop: &AtomicBool, tell: &mut dyn FnMut(Event)) -> Result<(), TrainingError> {
        if !self.features {
            return Ok(());
        }
        let tower = self.tower();
        let mut done = self.store.open_features(&tower, self.model.feature_count())?;
        let all = self.store.len();
        while done < all && !stop.load(Ordering::Relaxed) {
            let numbers: Vec<u32> = (done..(done + FEATURES_AT_ONCE).min(all)).map(|number| number as u32).collect();
            let pixels = numbers.iter().map(|number| self.store.pixels(*number));
            for features in self.model.features(&pixels.collect::<Result<Vec<_>, _>>()?)? {
                self.store.push_features(&features)?;
            }
            done += numbers.len();
            tell(Event::Features { done, all });
        }
        Ok(())
    }

    /// A word for this tower's weights and the way that pictures come to it.
    fn tower(&self) -> String {
        let mut hash = blake3::Hasher::new();
        for (name, tensor) in self.model.parameters().tensors().filter(|(name, _)| Part::of(name) == Part::Vision) {
            hash.update(name.as_bytes());
            if let Ok(values) = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>()) {
                hash.update(bytemuck::cast_slice(&values));
            }
        }
        let config = &self.files.config;
        hash.update(
            format!("{:?} {} {:?}", self.plan.aspect, config.mm_num_image_tokens, self.files.preprocess).as_bytes(),
        );
        hash.finalize().to_hex().as_str()[..16].to_string()
    }

    fn evaluate(&mut self, tell: &mut dyn FnMut(Event), metrics: &mut Metrics) -> Result<(), TrainingError> {
        let (mut logits, mut loss) = (vec![], 0f64);
        for samples in self.validation.chunks(SCORED_AT_ONCE) {
            let outcome = self.model.outcome(samples, |images| self.images(images, None), self.plan.loss)?;
            loss += f64::from(outcome.loss) * samples.len() as f64;
            logits.extend(outcome.logits);
        }
        let labels: Vec<f32> = self.validation.iter().map(|sample| sample.label).collect();
        let (accuracy, f1) = figures(&logits, &labels);
        let n = self.validation.len();
        let found = Evaluated { step: self.progress.step, n, loss: loss / n as f64, accuracy, f1 };
        let is_best = self.progress.best.is_none_or(|best| found.quality() > best);
        if is_best {
            (self.progress.best, self.progress.best_step) = (Some(found.quality()), found.step);
            self.progress.since_best = 0;
            self.save_model()?;
        } else {
            self.progress.since_best += 1;
        }
        metrics.evaluated(found.clone())?;
        tell(Event::Evaluated { figures: found, is_best });
        Ok(())
    }

    fn save_model(&self) -> Result<(), TrainingError> {
        save_model(self.model, self.files, self.plan.aspect, self.plan.saved_as, &self.plan.folder)
    }

    fn save_state(&self) -> Result<(), TrainingError> {
        let folder = self.states();
        std::fs::create_dir_all(&folder).map_err(TrainingError::io("making", &folder))?;
        write_state(&folder, &self.progress, self.model.parameters(), &self.optimizer)
    }

    /// The step after which the model was best, and how good it was.
    pub fn best(&self) -> Option<(usize, f64)> {
        Some((self.progress.best_step, self.progress.best?))
    }

    /// Removes the states: the training is over.
    pub fn forget(&self) -> Result<(), TrainingError> {
        let folder: &Path = &self.states();
        std::fs::remove_dir_all(folder).map_err(TrainingError::io("removing", folder))
    }
}

/// What a training must be told again to go on.
fn settings(plan: &Plan, model: &Model, samples: usize, steps: usize) -> Vec<(String, String)> {
    let optimizer = plan.optimizer;
    let trained: Vec<Part> = Part::ALL.into_iter().filter(|part| model.parameters().trains(*part)).collect();
    let settings: [(&str, &dyn std::fmt::Debug); 18] = [
        ("which parts are trained", &trained),
        ("--labels", &model.labels()),
        ("--aspect", &plan.aspect),
        ("--vision-rate", &optimizer.vision_rate),
        ("--muon-rate", &optimizer.muon_rate),
        ("the number of samples", &samples),
        ("the number of steps", &steps),
        ("--batch-size", &plan.batch),
        ("--accumulate", &plan.accumulate),
        ("--learning-rate", &plan.rate),
        ("--warmup", &plan.warmup),
        ("--seed", &plan.seed),
        ("whether samples are shuffled", &plan.shuffles),
        ("--clip", &optimizer.clip),
        ("--optimizer", &optimizer.algorithm),
        ("--weight-decay", &optimizer.weight_decay),
        ("the loss", &plan.loss),
        ("--shift", &plan.shift),
    ];
    settings.into_iter().map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect()
}

/// How fast it goes.
struct Pace {
    last: Instant,
    /// Seconds of a step, the last ones weighing most.
    mean: Option<f64>,
}

impl Pace {
    fn begin() -> Self {
        Self { last: Instant::now(), mean: None }
    }

    /// Notes a step of so many samples; samples a second.
    fn step(&mut self, samples: usize) -> f64 {
        let seconds = self.last.elapsed().as_secs_f64().max(1e-9);
        self.last = Instant::now();
        self.mean = Some(self.mean.map_or(seconds, |mean| 0.95 * mean + 0.05 * seconds));
        samples as f64 / seconds
    }

    fn left(&self, steps: usize) -> Duration {
        Duration::from_secs_f64(self.mean.unwrap_or(0.) * steps as f64)
    }
}

/// A number that looks like chance (Steele et al., SplitMix64).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A picture moved by up to `most` pixels each way; its edges are repeated.
fn shifted(pixels: &[u8], side: usize, most: u32, random: u64) -> Vec<u8> {
    let width = u64::from(2 * most + 1);
    let by = |random: u64| (random % width) as isize - most as isize;
    let (right, down) = (by(random), by(random >> 32));
    let from = |place: usize, by: isize| (place as isize - by).clamp(0, side as isize - 1) as usize;
    let mut to = Vec::with_capacity(pixels.len());
    for row in 0..side {
        let line = &pixels[from(row, down) * side * 3..][..side * 3];
        for column in 0..side {
            to.extend(&line[from(column, right) * 3..][..3]);
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_moves_and_repeats_its_edge() {
        let pixels: Vec<u8> = (0..9).flat_map(|level| [level; 3]).collect();
        // 2^33 modulo 3 is 2: one to the right; so is its upper half: one down.
        let moved = shifted(&pixels, 3, 1, 2 << 32);
        let levels: Vec<u8> = moved.iter().step_by(3).copied().collect();
        assert_eq!(levels, [0, 0, 1, 0, 0, 1, 3, 3, 4]);
    }
}
