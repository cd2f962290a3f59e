//! Whether higher scores have higher labels: rank correlations.

use crate::counts::{Counts, LEVELS, add};

/// Spearman's rank correlation: Pearson's of the ranks, where equal values share the mean of theirs. There is none where all
/// scores or all labels are equal.
pub(crate) fn spearman(counts: Counts<'_>) -> Option<f64> {
    let labels = counts.labels();
    let middle = (labels.iter().sum::<u64>() as f64 + 1.0) / 2.0;
    let label_ranks = centred_ranks(labels, middle);
    let (mut products, mut score_squares, mut below) = (0.0, 0.0, 0);
    for (_, rows) in counts.steps() {
        let here: u64 = rows.iter().sum();
        let rank = centred_rank(below, here, middle);
        score_squares += here as f64 * rank * rank;
        products += rank * rows.iter().zip(label_ranks).map(|(&rows, rank)| rows as f64 * rank).sum::<f64>();
        below += here;
    }
    let label_squares: f64 = labels.iter().zip(label_ranks).map(|(&rows, rank)| rows as f64 * rank * rank).sum();
    let scale = (score_squares * label_squares).sqrt();
    (scale > 0.0).then(|| (products / scale).clamp(-1.0, 1.0))
}

/// The rank of each label, less the mean of all ranks.
fn centred_ranks(labels: [u64; LEVELS], middle: f64) -> [f64; LEVELS] {
    let mut below = 0;
    labels.map(|rows| {
        let rank = centred_rank(below, rows, middle);
        below += rows;
        rank
    })
}

/// The rank that `rows` equal values share which have `below` others below them, less the mean of all ranks.
fn centred_rank(below: u64, rows: u64, middle: f64) -> f64 {
    below as f64 + (rows as f64 + 1.0) / 2.0 - middle
}

/// Kendall's tau-b: of the pairs of rows whose labels and scores both differ, how many more are in order than out of it, as a
/// share of the pairs that could be. There is none where all scores or all labels are equal.
pub(crate) fn kendall(counts: Counts<'_>) -> Option<f64> {
    let (mut below, mut in_order, mut out_of_order, mut equal_scores) = ([0; LEVELS], 0, 0, 0);
    for (_, rows) in counts.steps() {
        for label in 0..LEVELS {
            in_order += rows[label] * below[..label].iter().sum::<u64>();
            out_of_order += rows[label] * below[label + 1..].iter().sum::<u64>();
        }
        equal_scores += pairs(rows.iter().sum());
        add(&mut below, &rows);
    }
    let all = pairs(below.iter().sum());
    let equal_labels: u64 = below.into_iter().map(pairs).sum();
    let scale = ((all - equal_scores) as f64 * (all - equal_labels) as f64).sqrt();
    (scale > 0.0).then(|| ((in_order as f64 - out_of_order as f64) / scale).clamp(-1.0, 1.0))
}

/// The pairs among so many rows.
fn pairs(rows: u64) -> u64 {
    rows * rows.saturating_sub(1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Sample;

    fn both(rows: &[(f64, u8)]) -> (Option<f64>, Option<f64>) {
        let sample = Sample::new(rows);
        (spearman(sample.counts()), kendall(sample.counts()))
    }

    #[test]
    fn order_and_its_reverse() {
        assert_eq!(both(&[(0.1, 0), (0.2, 1), (7.0, 2), (7.5, 3)]), (Some(1.0), Some(1.0)));
        assert_eq!(both(&[(0.1, 3), (0.2, 2), (7.0, 1), (7.5, 0)]), (Some(-1.0), Some(-1.0)));
    }

    #[test]
    fn ties_on_both_sides() {
        // Pairs: 3 in order, none out of it; one with equal scores and one with equal labels, not the same one.
        let (_, kendall) = both(&[(1.0, 0), (1.0, 1), (2.0, 1)]);
        assert_eq!(kendall, Some(0.5));
        let (spearman, _) = both(&[(1.0, 0), (1.0, 1), (2.0, 1)]);
        assert!((spearman.unwrap() - 0.5).abs() < 1e-15);
    }

    #[test]
    fn what_does_not_vary_has_no_order() {
        for rows in [&[][..], &[(1.0, 2)], &[(1.0, 0), (1.0, 3)], &[(1.0, 2), (2.0, 2)]] {
            assert_eq!(both(rows), (None, None), "{rows:?}");
        }
    }

    /// Counts of pairs of many rows are beyond 32 bits.
    #[test]
    fn many_rows() {
        let counts = Counts { scores: &[0.0, 1.0], rows: &[[1 << 30, 0, 0, 1 << 20], [1 << 20, 0, 0, 1 << 30]] };
        let share = (1 << 20) as f64 / ((1 << 30) + (1 << 20)) as f64;
        assert!((kendall(counts).unwrap() - (1.0 - 2.0 * share)).abs() < 1e-12);
        assert!((spearman(counts).unwrap() - (1.0 - 2.0 * share)).abs() < 1e-12);
    }
}
