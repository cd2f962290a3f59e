//! The two passes as Pillow writes them, without vector instructions.

use super::Rows;
use super::plan::{PRECISION_BITS, Weights, Window};

const HALF: i32 = 1 << (PRECISION_BITS - 1);

pub(super) fn horizontal(source: &Rows<'_>, weights: &Weights, out_row_bytes: usize, out: &mut [u8]) {
    horizontal_columns(source, weights, 0, out_row_bytes, out);
}

/// The horizontal pass from the block's column `first` on.
pub(super) fn horizontal_columns(
    source: &Rows<'_>,
    weights: &Weights,
    first: usize,
    out_row_bytes: usize,
    out: &mut [u8],
) {
    let rows = source.pixels.chunks_exact(source.row_bytes).zip(out.chunks_exact_mut(out_row_bytes));
    for (source, out) in rows {
        let out = out[(weights.first + first) * 3..].chunks_exact_mut(3);
        for (window, out) in weights.windows[first..].iter().zip(out) {
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

pub(super) fn vertical(source: &Rows<'_>, weights: &Weights, windows: &[Window], out: &mut [u8]) {
    vertical_columns(source, weights, windows, 0, out);
}

/// The vertical pass from the byte column `first` on.
pub(super) fn vertical_columns(source: &Rows<'_>, weights: &Weights, windows: &[Window], first: usize, out: &mut [u8]) {
    let mut sums = vec![HALF; source.row_bytes - first];
    for (window, out) in windows.iter().zip(out.chunks_exact_mut(source.row_bytes)) {
        sums.fill(HALF);
        let rows = source.of(window).chunks_exact(source.row_bytes);
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
