//! The one thread that owns a model's device: it takes batches from the queue and runs the forward passes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tamis_models::{Limits, Prepared, Sample, Scorer};

use super::model::Model;
use super::panics::contained;
use super::request::{Ready, Ticket};
use super::{Outcome, ScoringMetrics, nanos};
use crate::error::{Error, ForwardError};

/// Runs forward passes until the queue is closed.
pub(super) fn run(model: &Arc<Model>) {
    while let Some(batch) = model.queue().next_batch() {
        let taken = batch.len();
        let (tickets, samples): (Vec<Ticket>, Vec<Prepared>) = batch
            .into_iter()
            .filter(|ready| !ready.ticket.request.is_cancelled())
            .map(|Ready { ticket, sample }| (ticket, sample))
            .unzip();
        if !tickets.is_empty() {
            score_batch(model, &tickets, &samples);
        }
        drop(samples);
        drop(tickets);
        model.spawn(model.queue().done(taken));
    }
}

fn score_batch(model: &Arc<Model>, tickets: &[Ticket], samples: &[Prepared]) {
    match forward(model.scorer(), tickets, samples) {
        Ok(scores) => finish(tickets, scores.into_iter().map(Outcome::Score)),
        Err(error) if samples.len() == 1 => blame(model, tickets, vec![Err(error)]),
        Err(error) => {
            log::warn!("model {}: {error}; its {} rows are scored one by one", model.name(), samples.len());
            let alone = tickets.iter().zip(samples).map(|(ticket, sample)| {
                let scores = forward(model.scorer(), std::slice::from_ref(ticket), std::slice::from_ref(sample))?;
                scores.into_iter().next().ok_or(ForwardError::Count { rows: 1, scores: 0 })
            });
            blame(model, tickets, alone.collect());
        }
    }
}

/// Answers rows that went to the device one by one. Those that failed are to blame if the device still works: another of
/// them was scored, or a picture of our own is.
fn blame(model: &Arc<Model>, tickets: &[Ticket], results: Vec<Result<f32, ForwardError>>) {
    let works = results.iter().any(Result::is_ok) || device_works(model.scorer());
    if works {
        finish(
            tickets,
            results.into_iter().map(|result| match result {
                Ok(score) => Outcome::Score(score),
                Err(error) => Outcome::Failed(error.to_string().into()),
            }),
        );
        return;
    }
    let Some(error) = results.into_iter().find_map(Result::err) else { return };
    let error = Error::Device { model: model.name().to_string(), source: Arc::new(error) };
    for ticket in tickets {
        ticket.request.fail(error.clone());
    }
    model.spawn(model.queue().purge());
}

fn finish(tickets: &[Ticket], outcomes: impl Iterator<Item = Outcome>) {
    for (ticket, outcome) in tickets.iter().zip(outcomes) {
        ticket.request.finish(ticket.row, outcome);
    }
}

/// One forward pass, counted for every consumer with a row in it.
fn forward(scorer: &dyn Scorer, tickets: &[Ticket], samples: &[Prepared]) -> Result<Vec<f32>, ForwardError> {
    let started = Instant::now();
    let scores = pass(scorer, samples);
    count(tickets, started.elapsed());
    scores
}

fn pass(scorer: &dyn Scorer, samples: &[Prepared]) -> Result<Vec<f32>, ForwardError> {
    let scores = contained(|| scorer.score(samples)).map_err(ForwardError::Panicked)??;
    if scores.len() != samples.len() {
        return Err(ForwardError::Count { rows: samples.len(), scores: scores.len() });
    }
    Ok(scores)
}

fn count(tickets: &[Ticket], time: Duration) {
    let share = nanos(time) / tickets.len().max(1) as u64;
    let mut seen: Vec<*const ScoringMetrics> = Vec::new();
    for ticket in tickets {
        let metrics = &ticket.request.metrics;
        metrics.model_calls.fetch_add(1, Ordering::Relaxed);
        metrics.forward_nanos.fetch_add(share, Ordering::Relaxed);
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

/// Whether the device scores a picture that is known to be good.
fn device_works(scorer: &dyn Scorer) -> bool {
    let sample = Sample::Pair { image: PROBE, text: "" };
    let probe = contained(|| scorer.prepare(&sample, &Limits::default()));
    matches!(probe, Ok(Ok(probe)) if pass(scorer, std::slice::from_ref(&probe)).is_ok())
}
