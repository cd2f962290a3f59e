//! The two passes with AVX2, equal to [`plain`] in every bit.
//!
//! A weight has 23 bits and a level 8, and the sum of their products is wanted modulo 2^32. AVX2 multiplies pairs of
//! 16-bit numbers and adds the two products in one instruction, so a weight is split into `high * 2^12 + low`: two such
//! instructions take two source pixels at once, where a 32-bit multiplication would take one at half the speed.
#![expect(unsafe_code, reason = "vector loads and stores; every one is within a slice that is checked beside it")]

use std::arch::x86_64::*;

use super::Rows;
use super::plain;
use super::plan::{LOW_BITS, PRECISION_BITS, Weights, Window};

const HALF: i32 = 1 << (PRECISION_BITS - 1);
/// Rows that share one reading of the weights in the horizontal pass.
const ROWS: usize = 4;
/// Bytes that one load of the horizontal pass reads: five pixels and a byte, of which four pixels are used.
const LOAD: usize = 16;

/// Proof that this CPU has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    pub(super) fn horizontal(self, source: &Rows<'_>, weights: &Weights, out_row_bytes: usize, out: &mut [u8]) {
        let count = source.pixels.len() / source.row_bytes;
        let mut done = 0;
        while done < count {
            let rows = if count - done < ROWS { 1 } else { ROWS };
            let readable = &source.pixels[done * source.row_bytes..];
            let out = &mut out[done * out_row_bytes..(done + rows) * out_row_bytes];
            // Behind the last row there may be nothing to load: the columns whose loads would go there are left.
            let room = readable.len() - (rows - 1) * source.row_bytes;
            let fitting = weights.windows.iter().take_while(|window| load_end(window) <= room).count();
            let columns = &mut out[weights.first * 3..];
            // SAFETY: `self` proves that the CPU has AVX2.
            unsafe {
                if rows == ROWS {
                    horizontal_rows::<ROWS>(readable, source.row_bytes, weights, fitting, out_row_bytes, columns);
                } else {
                    horizontal_rows::<1>(readable, source.row_bytes, weights, fitting, out_row_bytes, columns);
                }
            }
            let rest = Rows { pixels: &readable[..rows * source.row_bytes], ..*source };
            plain::horizontal_columns(&rest, weights, fitting, out_row_bytes, out);
            done += rows;
        }
    }

    pub(super) fn vertical(self, source: &Rows<'_>, weights: &Weights, windows: &[Window], out: &mut [u8]) {
        let vectors = source.row_bytes / 16 * 16;
        for (window, out) in windows.iter().zip(out.chunks_exact_mut(source.row_bytes)) {
            // SAFETY: `self` proves that the CPU has AVX2.
            unsafe { vertical_row(source.of(window), source.row_bytes, weights, window, &mut out[..vectors]) };
        }
        if vectors < source.row_bytes {
            plain::vertical_columns(source, weights, windows, vectors, out);
        }
    }
}

/// Where a window's last load ends, from the start of its row.
fn load_end(window: &Window) -> usize {
    window.start * 3 + window.len.div_ceil(4) * 12 + LOAD - 12
}

/// Computes the first `columns` columns of `weights` for `R` rows, whose loads must lie within `source`.
#[target_feature(enable = "avx2")]
fn horizontal_rows<const R: usize>(
    source: &[u8],
    row_bytes: usize,
    weights: &Weights,
    columns: usize,
    out_row_bytes: usize,
    out: &mut [u8],
) {
    // Four pixels to pairs of levels, each widened to 16 bits: pixels 0 and 1 in the lower lane, 2 and 3 in the upper.
    const Z: i8 = -1;
    #[rustfmt::skip]
    let widen = _mm256_setr_epi8(
        0, Z, 3, Z, 1, Z, 4, Z, 2, Z, 5, Z, Z, Z, Z, Z,
        6, Z, 9, Z, 7, Z, 10, Z, 8, Z, 11, Z, Z, Z, Z, Z,
    );
    // Four weights to the same places.
    #[rustfmt::skip]
    let spread = _mm256_setr_epi8(
        0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, Z, Z, Z, Z,
        4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, Z, Z, Z, Z,
    );
    for (column, window) in weights.windows[..columns].iter().enumerate() {
        let mut high = [_mm256_setzero_si256(); R];
        // A half in one lane: the lanes are added.
        let mut low = [_mm256_setr_epi32(HALF, HALF, HALF, HALF, 0, 0, 0, 0); R];
        let fours = window.len.div_ceil(4);
        let taps = window.offset..window.offset + fours * 4;
        let (window_high, window_low) = (&weights.high[taps.clone()], &weights.low[taps]);
        let first = window.start * 3;
        assert!(
            load_end(window) + (R - 1) * row_bytes <= source.len(),
            "the last load of the last row lies within the source"
        );
        for four in 0..fours {
            // SAFETY: both slices hold `fours * 4` weights of two bytes, so eight bytes from the fourth-numbered on.
            let (weight_high, weight_low) = unsafe {
                (
                    _mm256_shuffle_epi8(load_weights(window_high.as_ptr().add(four * 4)), spread),
                    _mm256_shuffle_epi8(load_weights(window_low.as_ptr().add(four * 4)), spread),
                )
            };
            for row in 0..R {
                // SAFETY: the assertion above bounds the last of these loads.
                let pixels =
                    unsafe { _mm_loadu_si128(source.as_ptr().add(row * row_bytes + first + four * 12).cast()) };
                let pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(pixels), widen);
                high[row] = _mm256_add_epi32(high[row], _mm256_madd_epi16(pairs, weight_high));
                low[row] = _mm256_add_epi32(low[row], _mm256_madd_epi16(pairs, weight_low));
            }
        }
        let mut sums = [_mm256_setzero_si256(); ROWS];
        for row in 0..R {
            sums[row] = join(high[row], low[row]);
        }
        let first_two = _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(add_lanes(sums[0], sums[1]));
        let last_two = _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(add_lanes(sums[2], sums[3]));
        // Four bytes of rows 0 and 2 in the lower lane, of rows 1 and 3 in the upper one.
        let words = _mm256_packs_epi32(first_two, last_two);
        let bytes = _mm256_packus_epi16(words, words);
        let lower = _mm_cvtsi128_si64(_mm256_castsi256_si128(bytes)).to_le_bytes();
        let upper = _mm_cvtsi128_si64(_mm256_extracti128_si256::<1>(bytes)).to_le_bytes();
        for (row, pixel) in [&lower[..3], &upper[..3], &lower[4..7], &upper[4..7]].into_iter().enumerate().take(R) {
            let at = row * out_row_bytes + column * 3;
            out[at..at + 3].copy_from_slice(pixel);
        }
    }
}

/// The sum of the lanes of `a` in the lower lane, that of `b` in the upper one.
#[target_feature(enable = "avx2")]
fn add_lanes(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b))
}

/// Four 16-bit weights, in both lanes.
///
/// # Safety
///
/// Eight bytes must be readable at `weights`.
#[target_feature(enable = "avx2")]
unsafe fn load_weights(weights: *const i16) -> __m256i {
    // SAFETY: the caller's promise; the load has no alignment to keep.
    _mm256_set1_epi64x(unsafe { weights.cast::<i64>().read_unaligned() })
}

/// Computes one row of `out.len()` bytes, a multiple of 16, from a window's rows.
#[target_feature(enable = "avx2")]
fn vertical_row(rows: &[u8], row_bytes: usize, weights: &Weights, window: &Window, out: &mut [u8]) {
    assert!(out.len() <= row_bytes && out.len().is_multiple_of(16) && rows.len() >= window.len * row_bytes);
    let pairs = window.len.div_ceil(2);
    let taps = window.offset..window.offset + pairs * 2;
    let (window_high, window_low) = (&weights.high[taps.clone()], &weights.low[taps]);
    for (index, out) in out.chunks_exact_mut(16).enumerate() {
        let zero = _mm256_setzero_si256();
        let (mut high, mut low) = ([zero; 2], [zero; 2]);
        for pair in 0..pairs {
            // The second row of an odd window's last pair has weight zero; read the first one again.
            let (first, second) = (pair * 2, (pair * 2 + 1).min(window.len - 1));
            // SAFETY: both rows are below `window.len`, the 16 bytes from `index * 16` on lie within a row since
            // `out` is not longer than a row, and `rows` holds `window.len` rows.
            let (a, b) = unsafe {
                (
                    _mm_loadu_si128(rows.as_ptr().add(first * row_bytes + index * 16).cast()),
                    _mm_loadu_si128(rows.as_ptr().add(second * row_bytes + index * 16).cast()),
                )
            };
            let levels = [_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)), _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b))];
            let weight_high = weight_pair(window_high[first], window_high[first + 1]);
            let weight_low = weight_pair(window_low[first], window_low[first + 1]);
            for half in 0..2 {
                high[half] = _mm256_add_epi32(high[half], _mm256_madd_epi16(levels[half], weight_high));
                low[half] = _mm256_add_epi32(low[half], _mm256_madd_epi16(levels[half], weight_low));
            }
        }
        let round = _mm256_set1_epi32(HALF);
        let left = _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(_mm256_add_epi32(join(high[0], low[0]), round));
        let right = _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(_mm256_add_epi32(join(high[1], low[1]), round));
        // Packing works lane by lane; put the quarters back in order.
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(left, right));
        let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        // SAFETY: `out` is a chunk of 16 bytes; the store has no alignment to keep.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) };
    }
}

#[target_feature(enable = "avx2")]
fn weight_pair(first: i16, second: i16) -> __m256i {
    _mm256_set1_epi32(i32::from(first as u16) | i32::from(second) << 16)
}

/// `high * 2^LOW_BITS + low`, modulo 2^32.
#[target_feature(enable = "avx2")]
fn join(high: __m256i, low: __m256i) -> __m256i {
    _mm256_add_epi32(_mm256_slli_epi32::<{ LOW_BITS as i32 }>(high), low)
}
