//! What a threshold keeps, and how good that is.

use serde::Serialize;

use crate::classes::ratio;
use crate::counts::{Counts, add};
use crate::thin::{MOST_POINTS, thinned};

/// The rows whose score is at least a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Kept {
    /// The least score that is kept.
    pub threshold: f64,
    /// The share of all rows that is kept.
    pub kept: f64,
    /// The share of the kept rows that has label 2 or 3.
    pub purity: f64,
    /// The share of the kept rows that has label 3.
    pub purity_3: f64,
}

/// What each score keeps as a threshold, from the highest to the lowest, of at most [`MOST_POINTS`] of them.
pub(crate) fn curve(counts: Counts<'_>) -> Vec<Kept> {
    let all: u64 = counts.labels().iter().sum();
    let mut kept = [0; 4];
    let points = counts.steps().rev().filter_map(|(threshold, rows)| {
        add(&mut kept, &rows);
        let [.., good, best] = kept;
        let total = kept.iter().sum();
        let (purity, purity_3) = (ratio(good + best, total)?, ratio(best, total)?);
        Some(Kept { threshold, kept: ratio(total, all)?, purity, purity_3 })
    });
    thinned(&points.collect::<Vec<_>>(), MOST_POINTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Sample;

    #[test]
    fn each_score_is_a_threshold() {
        let sample = Sample::new(&[(1.0, 0), (2.0, 3), (2.0, 1), (3.0, 2)]);
        let expected = [(3.0, 0.25, 1.0, 0.0), (2.0, 0.75, 2.0 / 3.0, 1.0 / 3.0), (1.0, 1.0, 0.5, 0.25)];
        let expected = expected.map(|(threshold, kept, purity, purity_3)| Kept { threshold, kept, purity, purity_3 });
        assert_eq!(curve(sample.counts()), expected);
        assert_eq!(curve(Sample::new(&[]).counts()), []);
    }

    #[test]
    fn many_scores_are_thinned() {
        let rows: Vec<_> = (0..1000).map(|n| (f64::from(n) / 300.0, (n % 4) as u8)).collect();
        let points = curve(Sample::new(&rows).counts());
        assert_eq!((points.len(), points[0].kept, points[199].kept), (200, 0.001, 1.0));
    }
}
