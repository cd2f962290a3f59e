//! Whether a score means what it says: the mean label of the rows that have about that score.

use serde::Serialize;

use crate::counts::{Counts, LEVELS};

/// How many bins the scores from 0 to 3 are put in.
const BINS: usize = 12;

/// The width of a bin.
const WIDTH: f64 = (LEVELS - 1) as f64 / BINS as f64;

/// The rows whose scores are in one bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// The least score of the bin; the first bin has lower scores too.
    pub from: f64,
    /// The score that the bin ends before; the last bin has it and higher scores too.
    pub to: f64,
    /// How many rows there are.
    pub count: u64,
    /// The mean of their scores.
    pub mean_score: Option<f64>,
    /// The mean of their labels.
    pub mean_label: Option<f64>,
}

/// Scores against labels, bin by bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The bins, in ascending order.
    pub bins: Vec<Bin>,
    /// The expected calibration error: the mean distance of a bin's mean score from its mean label, weighted by rows.
    pub error: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    rows: u64,
    scores: f64,
    labels: u64,
}

impl Calibration {
    /// The calibration of scores.
    pub fn of(counts: Counts<'_>) -> Self {
        let mut sums = [Sums::default(); BINS];
        for (score, rows) in counts.steps() {
            let sums = &mut sums[bin(score)];
            let here: u64 = rows.iter().sum();
            sums.rows += here;
            sums.scores += here as f64 * score;
            sums.labels += rows.iter().zip(0..).map(|(rows, label)| rows * label).sum::<u64>();
        }
        let total: u64 = sums.iter().map(|bin| bin.rows).sum();
        let distance: f64 = sums.iter().map(|bin| (bin.scores - bin.labels as f64).abs()).sum();
        let bins = sums.iter().enumerate().map(|(place, sums)| {
            let mean = |sum: f64| (sums.rows > 0).then(|| sum / sums.rows as f64);
            Bin {
                from: place as f64 * WIDTH,
                to: (place + 1) as f64 * WIDTH,
                count: sums.rows,
                mean_score: mean(sums.scores),
                mean_label: mean(sums.labels as f64),
            }
        });
        Self { bins: bins.collect(), error: (total > 0).then(|| distance / total as f64) }
    }
}

/// The bin that a score is in.
fn bin(score: f64) -> usize {
    ((score.max(0.0) / WIDTH) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Sample;

    #[test]
    fn bins_begin_with_their_lower_edge_and_the_outer_ones_take_the_rest() {
        assert_eq!([-9.0, 0.0, 0.249, 0.25, 2.75, 3.0, 1e9].map(bin), [0, 0, 0, 1, 11, 11, 11]);
    }

    #[test]
    fn means_and_their_distance() {
        let sample = Sample::new(&[(0.1, 0), (0.2, 1), (2.0, 2), (4.0, 3)]);
        let calibration = Calibration::of(sample.counts());
        let first = calibration.bins[0];
        assert_eq!((first.count, first.mean_label), (2, Some(0.5)));
        assert!((first.mean_score.unwrap() - 0.15).abs() < 1e-15);
        assert_eq!(calibration.bins[1].mean_score, None);
        assert_eq!(calibration.bins[11].mean_score, Some(4.0));
        assert!((calibration.error.unwrap() - (2.0 * 0.35 + 0.0 + 1.0) / 4.0).abs() < 1e-15);
        assert_eq!(Calibration::of(Sample::new(&[]).counts()).error, None);
    }
}
