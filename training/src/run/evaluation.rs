//! How good the model is on samples that it is not trained on.

use serde::{Deserialize, Serialize};
use tamis_evaluation::{Confusion, Sample as Counted};

/// Figures of a validation set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The step after which they were taken.
    pub step: usize,
    /// Samples.
    pub n: usize,
    /// The mean of the loss.
    pub loss: f64,
    /// The share of samples whose level, or class, is told; of a training without scores, none.
    pub accuracy: Option<f64>,
    /// The mean of the levels' F1.
    pub f1: Option<f64>,
}

impl Evaluated {
    /// What is better the larger it is.
    pub fn quality(&self) -> f64 {
        self.accuracy.unwrap_or(-self.loss)
    }
}

/// Accuracy and F1 of logits: the score rounded and put within 0 to 3, or the likeliest class.
pub(super) fn figures(logits: &[Vec<f32>], labels: &[f32]) -> (Option<f64>, Option<f64>) {
    let prediction = |logits: &Vec<f32>| match logits.as_slice() {
        [] => f64::NAN,
        [score] => f64::from(*score),
        classes => {
            let likeliest = classes.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            likeliest.map_or(f64::NAN, |(class, _)| class as f64)
        }
    };
    let rows: Vec<(f64, u8)> = logits
        .iter()
        .zip(labels)
        .map(|(logits, label)| (prediction(logits), label.round().clamp(0., 3.) as u8))
        .filter(|(score, _)| score.is_finite())
        .collect();
    if rows.is_empty() {
        return (None, None);
    }
    let sample = Counted::new(&rows);
    let confusion = Confusion::of(sample.counts());
    (confusion.accuracy(), confusion.averages().map(|averages| averages.f1))
}
