//! How well scores tell rows of some labels from rows of others: the ROC curve and the area under it.

use serde::Serialize;

use crate::classes::ratio;
use crate::counts::{Counts, LEVELS};
use crate::thin::{MOST_POINTS, thinned};

/// A point of the ROC curve: what becomes of rows whose score is at least the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rates {
    /// The least score that is kept.
    pub threshold: f64,
    /// The share of the other rows that is kept.
    pub false_positives: f64,
    /// The share of the rows to be found that is kept.
    pub true_positives: f64,
}

/// Which labels are to be told from which.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sides {
    /// Label 3 from all others.
    BestAndRest,
    /// Label 3 from label 0.
    BestAndWorst,
}

impl Sides {
    /// How many of some rows are on each side: to be found, and others.
    fn of(self, [worst, poor, good, best]: [u64; LEVELS]) -> (u64, u64) {
        match self {
            Self::BestAndRest => (best, worst + poor + good),
            Self::BestAndWorst => (best, worst),
        }
    }
}

/// The area under the ROC curve: how often a row of the one side has a higher score than one of the other, where equal scores
/// count half. There is none where a side is empty.
pub(crate) fn area(counts: Counts<'_>, sides: Sides) -> Option<f64> {
    let (mut positives, mut negatives, mut halves) = (0, 0, 0);
    for (_, rows) in counts.steps() {
        let (positive, negative) = sides.of(rows);
        halves += positive * (2 * negatives + negative);
        positives += positive;
        negatives += negative;
    }
    Some(ratio(halves, positives * negatives)? / 2.0)
}

/// The ROC curve from the highest threshold to the lowest, of at most [`MOST_POINTS`] points. There is none where a side is
/// empty.
pub(crate) fn curve(counts: Counts<'_>, sides: Sides) -> Vec<Rates> {
    let (positives, negatives) = sides.of(counts.labels());
    let (mut kept_positives, mut kept_negatives) = (0, 0);
    let points = counts.steps().rev().map_while(|(threshold, rows)| {
        let (positive, negative) = sides.of(rows);
        kept_positives += positive;
        kept_negatives += negative;
        let false_positives = ratio(kept_negatives, negatives)?;
        Some(Rates { threshold, false_positives, true_positives: ratio(kept_positives, positives)? })
    });
    thinned(&points.collect::<Vec<_>>(), MOST_POINTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Sample;

    fn rest(rows: &[(f64, u8)]) -> Option<f64> {
        area(Sample::new(rows).counts(), Sides::BestAndRest)
    }

    #[test]
    fn areas() {
        assert_eq!(rest(&[(0.0, 0), (1.0, 2), (2.0, 3)]), Some(1.0));
        assert_eq!(rest(&[(3.0, 0), (2.0, 3)]), Some(0.0));
        assert_eq!(rest(&[(2.0, 0), (2.0, 3)]), Some(0.5));
        assert_eq!(rest(&[(1.0, 0), (2.0, 1), (2.0, 3), (3.0, 3)]), Some(0.875));
        let between = Sample::new(&[(1.0, 0), (5.0, 2), (2.0, 3)]);
        assert_eq!(area(between.counts(), Sides::BestAndWorst), Some(1.0), "label 2 takes no part");
    }

    #[test]
    fn one_side_alone_has_none() {
        for rows in [&[][..], &[(1.0, 3), (2.0, 3)], &[(1.0, 0), (2.0, 2)]] {
            assert_eq!(rest(rows), None, "{rows:?}");
            assert_eq!(curve(Sample::new(rows).counts(), Sides::BestAndRest), []);
        }
    }

    #[test]
    fn the_curve_ends_with_all_rows() {
        let sample = Sample::new(&[(1.0, 0), (2.0, 3), (2.0, 1), (3.0, 3)]);
        let points = curve(sample.counts(), Sides::BestAndRest);
        let points: Vec<_> = points.iter().map(|p| (p.threshold, p.false_positives, p.true_positives)).collect();
        assert_eq!(points, [(3.0, 0.0, 0.5), (2.0, 0.5, 1.0), (1.0, 1.0, 1.0)]);
    }
}
