//! The two passes with AVX2, equal to [`plain`] in every bit.
//!
//! A weight has 23 bits and a level 8, and the sum of their products is wanted modulo 2^32. AVX2 multiplies pairs of
//! 16-bit numbers and adds the two products in one instruction, so a weight is split into `high * 2^12 + low`: two such
//! instructions take two source pixels at once, where a 32-bit multiplication would take one at half the speed.
#![expect(unsafe_code, reason = "vector loads and stores; every one is within a slice that is checked beside it")]

use std::arch::x86_64::*;

use super::Stage;
use super::plain;
use super::plan::{PRECISION_BITS, Weights, Window};

/// Bits of a weight's lower half: both halves fit an i16.
const LOW_BITS: u32 = 12;
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

    pub(super) fn horizontal(self, stage: &Stage<'_>, weights: &Weights, out_width: usize, out: &mut [u8]) {
        let halves = Halves::new(weights);
        let row_bytes = stage.width * 3;
        let mut padded = Vec::new();
        let blocks = stage.pixels.chunks(row_bytes * ROWS).zip(out.chunks_mut(out_width * 3 * ROWS));
        let last = stage.height.div_ceil(ROWS) - 1;
        for (index, (mut source, out)) in blocks.enumerate() {
            // A load may read up to `LOAD` bytes beyond the last row, so the last block is copied to where it may. A
            // window's zeros at its end make what is read there count for nothing.
            let mut readable = &stage.pixels[index * ROWS * row_bytes..];
            if index == last || readable.len() < source.len() + LOAD {
                padded.clear();
                padded.extend_from_slice(source);
                padded.resize(source.len() + LOAD, 0);
                readable = &padded;
                source = &padded[..source.len()];
            }
            let rows = source.len() / row_bytes;
            let columns = &mut out[weights.first * 3..];
            // SAFETY: `self` proves that the CPU has AVX2.
            unsafe {
                if rows == ROWS {
                    horizontal_rows::<ROWS>(readable, row_bytes, weights, &halves, out_width * 3, columns);
                } else {
                    for row in 0..rows {
                        let columns = &mut columns[row * out_width * 3..];
                        let readable = &readable[row * row_bytes..];
                        horizontal_rows::<1>(readable, row_bytes, weights, &halves, out_width * 3, columns);
                    }
                }
            }
        }
    }

    pub(super) fn vertical(self, stage: &Stage<'_>, weights: &Weights, out: &mut [u8]) {
        let row_bytes = stage.width * 3;
        let vectors = row_bytes / 16 * 16;
        if vectors > 0 {
            let halves = Halves::new(weights);
            for (window, out) in weights.windows.iter().zip(out.chunks_exact_mut(row_bytes)) {
                let rows = &stage.pixels[window.start * row_bytes..(window.start + window.len) * row_bytes];
                // SAFETY: `self` proves that the CPU has AVX2.
                unsafe { vertical_row(rows, row_bytes, &halves, window, &mut out[..vectors]) };
            }
        }
        if vectors < row_bytes {
            plain::vertical_columns(stage, weights, vectors, out);
        }
    }
}

/// The weights, split.
struct Halves {
    high: Vec<i16>,
    low: Vec<i16>,
}

impl Halves {
    fn new(weights: &Weights) -> Self {
        // Weights lie within +-1.2 * 2^22, so the upper half lies within +-1229.
        let high = weights.taps.iter().map(|w| (w >> LOW_BITS) as i16).collect();
        let low = weights.taps.iter().map(|w| (w & ((1 << LOW_BITS) - 1)) as i16).collect();
        Self { high, low }
    }
}

/// Computes the columns of `weights` for `R` rows. `source` must have `LOAD` readable bytes behind the last row.
#[target_feature(enable = "avx2")]
fn horizontal_rows<const R: usize>(
    source: &[u8],
    row_bytes: usize,
    weights: &Weights,
    halves: &Halves,
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
    for (column, window) in weights.windows.iter().enumerate() {
        let mut high = [_mm256_setzero_si256(); R];
        let mut low = [_mm256_setzero_si256(); R];
        let fours = window.len.div_ceil(4);
        let taps = window.offset..window.offset + fours * 4;
        let (window_high, window_low) = (&halves.high[taps.clone()], &halves.low[taps]);
        let first = window.start * 3;
        assert!(
            first + fours * 12 + (R - 1) * row_bytes + LOAD - 12 <= source.len(),
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
        for row in 0..R {
            let sum = join(high[row], low[row]);
            let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
            let sum = _mm_srai_epi32::<{ PRECISION_BITS as i32 }>(_mm_add_epi32(sum, _mm_set1_epi32(HALF)));
            let sum = _mm_packs_epi32(sum, sum);
            let bytes = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum)).to_le_bytes();
            let at = row * out_row_bytes + column * 3;
            out[at..at + 3].copy_from_slice(&bytes[..3]);
        }
    }
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
fn vertical_row(rows: &[u8], row_bytes: usize, halves: &Halves, window: &Window, out: &mut [u8]) {
    assert!(out.len() <= row_bytes && out.len().is_multiple_of(16) && rows.len() >= window.len * row_bytes);
    let pairs = window.len.div_ceil(2);
    let taps = window.offset..window.offset + pairs * 2;
    let (window_high, window_low) = (&halves.high[taps.clone()], &halves.low[taps]);
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
