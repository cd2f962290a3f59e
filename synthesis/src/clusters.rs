//! Choosing images that are unlike each other: clusters over their features, and as many from each.

use rand::Rng;
use rand::seq::SliceRandom;

use crate::random::{Random, random};

/// Rows a step; how many steps; how many rows the first centres are drawn from.
const BATCH: usize = 1_024;
const STEPS: usize = 100;
const FIRST: usize = 16_384;

/// The cluster of each row, by mini-batch k-means over rows scaled to length one (Sculley 2010), begun with centres that
/// are far from each other (k-means++). The seed decides all of it.
pub fn clusters(rows: &[Vec<f32>], count: usize, seed: u64) -> Vec<usize> {
    let rows: Vec<Vec<f32>> = rows.iter().map(|row| scaled(row)).collect();
    let random = &mut random(seed, &["clusters"]);
    let mut centres = first_centres(&rows, count, random);
    let mut seen = vec![0_u32; centres.len()];
    if centres.is_empty() {
        return vec![0; rows.len()];
    }
    for _ in 0..STEPS {
        let batch: Vec<usize> = (0..BATCH.min(rows.len())).map(|_| random.random_range(0..rows.len())).collect();
        let nearest: Vec<usize> = batch.iter().map(|i| nearest(&rows[*i], &centres).0).collect();
        for (i, c) in batch.into_iter().zip(nearest) {
            seen[c] += 1;
            let rate = 1.0 / seen[c] as f32;
            for (centre, value) in centres[c].iter_mut().zip(&rows[i]) {
                *centre += rate * (value - *centre);
            }
        }
    }
    rows.iter().map(|row| nearest(row, &centres).0).collect()
}

/// At most `each` rows of every cluster, in the rows' order; the seed decides which.
pub fn sample(clusters: &[usize], each: usize, seed: u64) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..clusters.len()).collect();
    rows.shuffle(&mut random(seed, &["sample"]));
    let mut taken = vec![0; clusters.iter().max().map_or(0, |last| last + 1)];
    rows.retain(|row| {
        let taken = &mut taken[clusters[*row]];
        *taken += 1;
        *taken <= each
    });
    rows.sort_unstable();
    rows
}

/// The row at length one; a row of zeros stays.
fn scaled(row: &[f32]) -> Vec<f32> {
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 { row.iter().map(|x| x / length).collect() } else { row.to_vec() }
}

/// The nearest centre and the square of the distance.
fn nearest(row: &[f32], centres: &[Vec<f32>]) -> (usize, f32) {
    let distance = |centre: &[f32]| row.iter().zip(centre).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let distances = centres.iter().map(|centre| distance(centre)).enumerate();
    distances.min_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or((0, 0.0))
}

/// Rows of which each is drawn with a chance that grows with the square of its distance from those before.
fn first_centres(rows: &[Vec<f32>], count: usize, random: &mut Random) -> Vec<Vec<f32>> {
    let mut pool: Vec<&Vec<f32>> = rows.iter().collect();
    pool.shuffle(random);
    pool.truncate(FIRST.max(count));
    let Some(first) = pool.first() else { return vec![] };
    let mut centres = vec![(*first).clone()];
    let mut far: Vec<f32> = pool.iter().map(|row| nearest(row, &centres).1).collect();
    while centres.len() < count.min(pool.len()) {
        let sum: f64 = far.iter().map(|d| f64::from(*d)).sum();
        if sum <= 0.0 {
            break;
        }
        let mut left = random.random_range(0.0..sum);
        let chosen = far.iter().position(|d| {
            left -= f64::from(*d);
            left < 0.0
        });
        let centre = pool[chosen.unwrap_or(far.len() - 1)].clone();
        for (row, far) in pool.iter().zip(&mut far) {
            *far = far.min(nearest(row, std::slice::from_ref(&centre)).1);
        }
        centres.push(centre);
    }
    centres
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows around six directions, of which the first has most.
    fn rows() -> (Vec<Vec<f32>>, Vec<usize>) {
        let mut source = random(2, &[]);
        let truth: Vec<usize> = (0..900).map(|i| if i % 3 > 0 { 0 } else { 1 + i / 3 % 5 }).collect();
        let row = |kind: &usize| {
            let mut row: Vec<f32> = (0..12).map(|_| source.random_range(-0.1..0.1)).collect();
            row[kind * 2] += 1.0;
            row.iter().map(|x| x * source.random_range(0.5..3.0)).collect()
        };
        let rows = truth.iter().map(row).collect();
        (rows, truth)
    }

    #[test]
    fn clusters_are_found_and_the_seed_decides() {
        let (rows, truth) = rows();
        let found = clusters(&rows, 6, 1);
        for (i, j) in [(0, 3), (3, 6), (6, 9), (9, 12)] {
            assert_eq!(found[i] == found[j], truth[i] == truth[j], "{i}, {j}");
        }
        let pure = (0..900).filter(|i| found[*i] == found[truth.iter().position(|t| t == &truth[*i]).unwrap()]).count();
        assert!(pure > 880, "{pure}");
        assert_eq!(found, clusters(&rows, 6, 1));
    }

    #[test]
    fn a_sample_has_as_many_of_each() {
        let (rows, truth) = rows();
        let chosen = sample(&clusters(&rows, 6, 1), 20, 1);
        assert_eq!(chosen.len(), 120);
        assert_eq!(chosen.iter().filter(|i| truth[**i] == 0).count(), 20);
        assert!(chosen.is_sorted());
    }

    #[test]
    fn fewer_rows_than_clusters_and_equal_rows() {
        assert_eq!(clusters(&[], 4, 1), [] as [usize; 0]);
        assert_eq!(clusters(&vec![vec![1.0, 0.0]; 5], 4, 1), [0; 5]);
        assert_eq!(sample(&[0, 0, 1], 5, 1), [0, 1, 2]);
    }
}
