//! The two passes as Pillow writes them, without vector instructions.

use super::Stage;
use super::plan::{PRECISION_BITS, Weights};

const HALF: i32 = 1 << (PRECISION_BITS - 1);

pub(super) fn horizontal(stage: &Stage<'_>, weights: &Weights, out_width: usize, out: &mut [u8]) {
    let rows = stage.pixels.chunks_exact(stage.width * 3).zip(out.chunks_exact_mut(out_width * 3));
    for (source, out) in rows {
        for (window, out) in weights.windows.iter().zip(out[weights.first * 3..].chunks_exact_mut(3)) {
            let mut sums = [HALF; 3];
            for (pixel, weight) in source[window.start * 3..].chunks_exact(3).zip(weights.of(window)) {
                for (sum, level) in sums.iter_mut().zip(pixel) {
                    *sum = sum.wrapping_add(i32::from(*level).wrapping_mul(*weight));
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = clip(sum);
            }
        }
    }
}

pub(super) fn vertical(stage: &Stage<'_>, weights: &Weights, out: &mut [u8]) {
    vertical_columns(stage, weights, 0, out);
}

/// The vertical pass from the byte column `first` on.
pub(super) fn vertical_columns(stage: &Stage<'_>, weights: &Weights, first: usize, out: &mut [u8]) {
    let row_bytes = stage.width * 3;
    let mut sums = vec![HALF; row_bytes - first];
    for (window, out) in weights.windows.iter().zip(out.chunks_exact_mut(row_bytes)) {
        sums.fill(HALF);
        let rows = stage.pixels[window.start * row_bytes..].chunks_exact(row_bytes);
        for (row, weight) in rows.zip(weights.of(window)) {
            for (sum, level) in sums.iter_mut().zip(&row[first..]) {
                *sum = sum.wrapping_add(i32::from(*level).wrapping_mul(*weight));
            }
        }
        for (out, sum) in out[first..].iter_mut().zip(&sums) {
            *out = clip(*sum);
        }
    }
}

/// Drops the bits behind the point and clips to a byte.
pub(super) fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}
