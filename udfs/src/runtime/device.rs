//! The one thread that owns a model's device: it takes batches from the queue and runs the forward passes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tamis_models::{Limits, Prepared, Sample, Scored, Scorer};

use super::ScoringMetrics;
use super::known::Owner;
use super::metrics::nanos;
use super::model::Model;
use super::panics::contained;
use super::request::Ready;
use crate::cache::KnownScore;
use crate::error::{Error, ForwardError};

/// Runs forward passes until the queue is closed.
pub(super) fn run(model: &Arc<Model>, scorer: &dyn Scorer) {
    let device = Device { model, scorer };
    let mut idle = Duration::ZERO;
    while let Some(batch) = model.queue().next_batch() {
        let taken = batch.rows.len();
        idle += batch.idle;
        let (owners, samples): (Vec<Owner>, Vec<Prepared>) = batch
            .rows
            .into_iter()
            .filter(|ready| !ready.owner.request().is_cancelled())
            .map(|Ready { owner, sample }| (owner, sample))
            .unzip();
        if let Some(oldest) = owners.first() {
            let waited = nanos(std::mem::take(&mut idle));
            oldest.request().metrics.device_idle_nanos.fetch_add(waited, Ordering::Relaxed);
            device.score_batch(owners, &samples);
        }
        drop(samples);
        model.spawn(model.queue().done(taken));
    }
}

struct Device<'a> {
    model: &'a Arc<Model>,
    scorer: &'a dyn Scorer,
}

impl Device<'_> {
    fn score_batch(&self, owners: Vec<Owner>, samples: &[Prepared]) {
        match self.forward(&owners, samples) {
            Ok(scores) => {
                for (owner, score) in owners.into_iter().zip(scores) {
                    owner.keep(KnownScore::Score(score));
                }
            }
            Err(error) if samples.len() == 1 => self.blame(owners, vec![Err(error)]),
            Err(error) => {
                let (name, rows) = (self.model.name(), samples.len());
                log::warn!("model {name}: {error}; its {rows} rows are scored one by one");
                let alone = owners.iter().zip(samples).map(|(owner, sample)| {
                    let scores = self.forward(std::slice::from_ref(owner), std::slice::from_ref(sample))?;
                    scores.into_iter().next().ok_or(ForwardError::Count { rows: 1, scores: 0 })
                });
                let alone = alone.collect();
                self.blame(owners, alone);
            }
        }
    }

    /// Answers rows that went to the device one by one. Those that failed are to blame if the device still works:
    /// another of them was scored, or a picture of our own is.
    fn blame(&self, owners: Vec<Owner>, results: Vec<Result<f32, ForwardError>>) {
        if results.iter().any(Result::is_ok) || self.works() {
            for (owner, result) in owners.into_iter().zip(results) {
                match result {
                    Ok(score) => owner.keep(KnownScore::Score(score)),
                    Err(error) => owner.fail_once(error.to_string()),
                }
            }
            return;
        }
        let Some(error) = results.into_iter().find_map(Result::err) else { return };
        let error = Error::Device { model: self.model.name().to_string(), source: Arc::new(error) };
        for owner in owners {
            owner.fail_requests(&error);
        }
        self.model.spawn(self.model.queue().purge());
    }

    /// One forward pass, counted for every consumer with a row in it.
    fn forward(&self, owners: &[Owner], samples: &[Prepared]) -> Result<Vec<f32>, ForwardError> {
        let started = Instant::now();
        let scored = pass(self.scorer, samples);
        let time = started.elapsed();
        count(owners, samples, time);
        let Scored { scores, images_encoded } = scored?;
        self.model.note_pass(scores.len(), time);
        if let Some(oldest) = owners.first() {
            oldest.request().metrics.images_encoded.fetch_add(images_encoded as u64, Ordering::Relaxed);
        }
        Ok(scores)
    }

    /// Whether the device scores a picture that is known to be good.
    fn works(&self) -> bool {
        let sample = Sample::Pair { image: PROBE, text: "" };
        let probe = contained(|| self.scorer.prepare(&sample, &Limits::default()));
        matches!(probe, Ok(Ok(probe)) if pass(self.scorer, std::slice::from_ref(&probe)).is_ok())
    }
}

fn pass(scorer: &dyn Scorer, samples: &[Prepared]) -> Result<Scored, ForwardError> {
    let scored = contained(|| scorer.score(samples)).map_err(ForwardError::Panicked)??;
    if scored.scores.len() != samples.len() {
        return Err(ForwardError::Count { rows: samples.len(), scores: scored.scores.len() });
    }
    Ok(scored)
}

fn count(owners: &[Owner], samples: &[Prepared], time: Duration) {
    let share = nanos(time) / owners.len().max(1) as u64;
    let mut seen: Vec<*const ScoringMetrics> = Vec::new();
    for (owner, sample) in owners.iter().zip(samples) {
        let metrics = &owner.request().metrics;
        metrics.model_calls.fetch_add(1, Ordering::Relaxed);
        metrics.forward_nanos.fetch_add(share, Ordering::Relaxed);
        metrics.tokens.fetch_add(sample.positions as u64, Ordering::Relaxed);
        if !seen.contains(&Arc::as_ptr(metrics)) {
            seen.push(Arc::as_ptr(metrics));
            metrics.batches.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A grey picture of one pixel, as PNG.
const PROBE: &[u8] =
    b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\
    \x00\x00\x00\x3a\x7e\x9b\x55\x00\x00\x00\x0a\x49\x44\x41\x54\x78\x9c\x63\x68\x00\x00\x00\x82\x00\x81\x77\
    \xcd\x72\xb6\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";
