//! Scores as predictions of labels: the confusion matrix, and what follows from it.

use serde::Serialize;

use crate::counts::{Counts, LEVELS};

/// How many rows there are of each label (first index) and prediction (second index).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Confusion(pub [[u64; LEVELS]; LEVELS]);

/// Precision, recall and F1, each the mean over the labels that occur as a label or as a prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Macro {
    /// Of the rows that were predicted to have a label, the share that has it; 0 where none was.
    pub precision: f64,
    /// Of the rows that have a label, the share that was predicted to; 0 where none has.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

/// The label that a score predicts: the score rounded, halves to the even number, and not beyond the labels.
pub(crate) fn prediction(score: f64) -> usize {
    score.clamp(0.0, (LEVELS - 1) as f64).round_ties_even() as usize
}

impl Confusion {
    /// The confusion matrix of scores.
    pub fn of(counts: Counts<'_>) -> Self {
        let mut matrix = [[0; LEVELS]; LEVELS];
        for (score, rows) in counts.steps() {
            let predicted = prediction(score);
            for (label, rows) in rows.into_iter().enumerate() {
                matrix[label][predicted] += rows;
            }
        }
        Self(matrix)
    }

    fn rows(&self) -> u64 {
        self.0.as_flattened().iter().sum()
    }

    /// The share of rows whose prediction is their label.
    pub fn accuracy(&self) -> Option<f64> {
        let right: u64 = (0..LEVELS).map(|level| self.0[level][level]).sum();
        ratio(right, self.rows())
    }

    /// Precision, recall and F1 over labels.
    pub fn averages(&self) -> Option<Macro> {
        let mut sum = Macro { precision: 0.0, recall: 0.0, f1: 0.0 };
        let mut occurring = 0;
        for level in 0..LEVELS {
            let right = self.0[level][level];
            let labelled: u64 = self.0[level].iter().sum();
            let predicted: u64 = self.0.iter().map(|predictions| predictions[level]).sum();
            if labelled + predicted > 0 {
                occurring += 1;
                sum.precision += ratio(right, predicted).unwrap_or(0.0);
                sum.recall += ratio(right, labelled).unwrap_or(0.0);
                sum.f1 += ratio(2 * right, labelled + predicted).unwrap_or(0.0);
            }
        }
        let mean = |sum: f64| sum / f64::from(occurring);
        (occurring > 0).then(|| Macro { precision: mean(sum.precision), recall: mean(sum.recall), f1: mean(sum.f1) })
    }
}

/// The mean of the squared differences between score and label.
pub(crate) fn mean_squared_error(counts: Counts<'_>) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0);
    for (score, rows) in counts.steps() {
        for (label, rows) in rows.into_iter().enumerate() {
            let error = score - label as f64;
            sum += rows as f64 * error * error;
            total += rows;
        }
    }
    (total > 0).then(|| sum / total as f64)
}

/// A share; there is none of nothing.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Sample;

    fn confusion(rows: &[(f64, u8)]) -> Confusion {
        Confusion::of(Sample::new(rows).counts())
    }

    #[test]
    fn halves_go_to_the_even_number_and_scores_beyond_the_labels_to_the_nearest() {
        let scores = [-7.0, 0.5, 0.51, 1.49, 1.5, 2.5, 2.51, 3.2, 99.0];
        assert_eq!(scores.map(prediction), [0, 0, 1, 1, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn a_label_that_is_never_predicted_counts_as_zero() {
        let confusion = confusion(&[(0.0, 0), (0.2, 0), (0.1, 3), (1.1, 1)]);
        assert_eq!(confusion.0, [[2, 0, 0, 0], [0, 1, 0, 0], [0; 4], [1, 0, 0, 0]]);
        let averages = confusion.averages().unwrap();
        assert_eq!(confusion.accuracy(), Some(0.75));
        assert!((averages.precision - (2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-15, "{averages:?}");
        assert!((averages.recall - 2.0 / 3.0).abs() < 1e-15, "{averages:?}");
        assert!((averages.f1 - (0.8 + 1.0) / 3.0).abs() < 1e-15, "{averages:?}");
    }

    #[test]
    fn nothing_has_no_figures() {
        let none = confusion(&[]);
        assert_eq!((none.accuracy(), none.averages()), (None, None));
        assert_eq!(mean_squared_error(Sample::new(&[]).counts()), None);
    }
}
