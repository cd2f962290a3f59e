//! How good the model is on samples that it is not trained on.

use serde::{Deserialize, Serialize};
use tamis_evaluation::{Confusion, LEVELS, Sample as Counted};

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
    // More classes than there are levels have no confusion matrix here.
    if logits.iter().any(|logits| logits.len() > LEVELS) {
        let right =
            logits.iter().zip(labels).filter(|(logits, label)| prediction(logits) == f64::from(**label)).count();
        return (Some(right as f64 / labels.len().max(1) as f64), None);
    }
    let rows: Vec<(f64, u8)> = logits
        .iter()
        .zip(labels)
        .map(|(logits, label)| (prediction(logits), label.round_ties_even().clamp(0., 3.) as u8))
        .filter(|(score, _)| score.is_finite())
        .collect();
    if rows.is_empty() {
        return (None, None);
    }
    let sample = Counted::new(&rows);
    let confusion = Confusion::of(sample.counts());
    (confusion.accuracy(), confusion.averages().map(|averages| averages.f1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_rounded_and_classes_compared() {
        let scores = [vec![2.5], vec![-1.], vec![3.4], vec![1.6]];
        assert_eq!(figures(&scores, &[2., 0., 3., 1.]).0, Some(0.75));
        let classes: Vec<Vec<f32>> =
            (0..6).map(|class| (0..6).map(|c| f32::from(u8::from(c == class))).collect()).collect();
        assert_eq!(figures(&classes, &[0., 1., 2., 3., 4., 4.]), (Some(5. / 6.), None));
        assert_eq!(figures(&[vec![]], &[3.]), (None, None));
    }
}
