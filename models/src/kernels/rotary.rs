//! Rotary positions (Su et al., "RoFormer", arXiv 2104.09864), in the form that rotates a head's two halves.

use super::norm::Norm;

/// Cosines and sines of `positions` positions for heads of one width.
#[derive(Debug)]
pub(crate) struct Rotary {
    width: usize,
    frequencies: Vec<f32>,
    /// [positions, width / 2] pairs of cosine and sine.
    table: Vec<(f32, f32)>,
}

impl Rotary {
    /// Wavelengths in f32, as the reference has them: `theta^(2 i / width)`.
    pub(crate) fn new(width: usize, theta: f32) -> Self {
        let frequencies = (0..width).step_by(2).map(|i| 1. / theta.powf(i as f32 / width as f32)).collect();
        Self { width, frequencies, table: Vec::new() }
    }

    /// Makes sure that there is a line for each of the first `positions` positions.
    pub(crate) fn reach(&mut self, positions: usize) {
        let known = self.table.len() / self.frequencies.len().max(1);
        for position in known..positions {
            let angles = self.frequencies.iter().map(|frequency| position as f32 * frequency);
            self.table.extend(angles.map(|angle| (angle.cos(), angle.sin())));
        }
    }

    /// Cosine and sine of each position and pair: [positions, width / 2].
    #[cfg(feature = "cuda")]
    pub(crate) fn table(&self) -> &[(f32, f32)] {
        &self.table
    }

    /// Norms, where there is one, and rotates each head of `heads` [heads * width], which stands at `position`.
    pub(crate) fn apply(&self, position: usize, heads: &mut [f32], norm: Option<&Norm>) {
        let half = self.width / 2;
        let line = &self.table[position * half..][..half];
        let mut whole = vec![0.; if norm.is_some() { self.width } else { 0 }];
        for head in heads.chunks_exact_mut(self.width) {
            if let Some(norm) = norm {
                norm.row(head, &mut whole);
                head.copy_from_slice(&whole);
            }
            let (first, second) = head.split_at_mut(half);
            for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(line) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}
