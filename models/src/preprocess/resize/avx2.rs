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
/// Bytes that the vertical pass works on at once.
const BYTES: usize = 32;

/// Proof that this CPU has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    pub(super) fn horizontal(self, source: &Rows<'_>, weights: &Weights, out_row_bytes: usize, out: &mut [u8]) {
        let count = source.pixels.len() / source.row_bytes;
        let longest = weights.windows.iter().map(|window| window.len.div_ceil(4)).max().unwrap_or(0);
        let mut done = 0;
        while done < count {
            let rows = if count - done < ROWS { 1 } else { ROWS };
            let readable = &source.pixels[done * source.row_bytes..];
            let out = &mut out[done * out_row_bytes..(done + rows) * out_row_bytes];
            // Behind the last row there may be nothing to load: the columns whose loads could go there are left.
            let room = readable.len() - (rows - 1) * source.row_bytes;
            let fitting = weights.windows.partition_point(|window| window.start * 3 + longest * 12 + LOAD - 12 <= room);
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
        let vectors = source.row_bytes / BYTES * BYTES;
        for (window, out) in windows.iter().zip(out.chunks_exact_mut(source.row_bytes)) {
            // SAFETY: `self` proves that the CPU has AVX2.
            unsafe { vertical_row(source.of(window), source.row_bytes, weights, window, &mut out[..vectors]) };
        }
        if vectors < source.row_bytes {
            plain::vertical_columns(source, weights, windows, vectors, out);
        }
    }
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
    let masks = Masks::new();
    let mut rows = out.chunks_mut(out_row_bytes).map(|row| row.as_chunks_mut::<3>().0);
    let mut rows: [_; R] = std::array::from_fn(|_| rows.next().unwrap_or_default());
    for (column, window) in weights.windows[..columns].iter().enumerate() {
        let source = &source[window.start * 3..];
        // The lengths that are frequent, as literals: the loop over them is unrolled.
        let sums = match window.len.div_ceil(4) {
            1 => window_sums::<R>(source, row_bytes, weights, window, 1, masks),
            2 => window_sums::<R>(source, row_bytes, weights, window, 2, masks),
            3 => window_sums::<R>(source, row_bytes, weights, window, 3, masks),
            fours => window_sums::<R>(source, row_bytes, weights, window, fours, masks),
        };
        let first_two = _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(add_lanes(sums[0], sums[1]));
        let last_two = _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(add_lanes(sums[2], sums[3]));
        // Four bytes of rows 0 and 2 in the lower lane, of rows 1 and 3 in the upper one.
        let words = _mm256_packs_epi32(first_two, last_two);
        let bytes = _mm256_packus_epi16(words, words);
        let lower = _mm_cvtsi128_si64(_mm256_castsi256_si128(bytes)).to_le_bytes();
        let upper = _mm_cvtsi128_si64(_mm256_extracti128_si256::<1>(bytes)).to_le_bytes();
        for (row, pixel) in rows.iter_mut().zip([&lower[..3], &upper[..3], &lower[4..7], &upper[4..7]]) {
            row[column].copy_from_slice(pixel);
        }
    }
}

/// Where bytes go, for a shuffle.
#[derive(Clone, Copy)]
struct Masks {
    /// Four pixels to pairs of levels, each widened to 16 bits: pixels 0 and 1 in the lower lane, 2 and 3 in the upper.
    widen: __m256i,
    /// Four weights to the same places.
    spread: __m256i,
}

impl Masks {
    #[target_feature(enable = "avx2")]
    fn new() -> Self {
        const Z: i8 = -1;
        #[rustfmt::skip]
        let widen = _mm256_setr_epi8(
            0, Z, 3, Z, 1, Z, 4, Z, 2, Z, 5, Z, Z, Z, Z, Z,
            6, Z, 9, Z, 7, Z, 10, Z, 8, Z, 11, Z, Z, Z, Z, Z,
        );
        #[rustfmt::skip]
        let spread = _mm256_setr_epi8(
            0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, Z, Z, Z, Z,
            4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, Z, Z, Z, Z,
        );
        Self { widen, spread }
    }
}

/// The sums of a window of `fours * 4` weights in `R` rows, whose first pixel `source` begins with: the two lanes of each
/// are still to be added.
#[inline]
#[target_feature(enable = "avx2")]
fn window_sums<const R: usize>(
    source: &[u8],
    row_bytes: usize,
    weights: &Weights,
    window: &Window,
    fours: usize,
    masks: Masks,
) -> [__m256i; ROWS] {
    let taps = window.offset..window.offset + fours * 4;
    let (window_high, window_low) = (&weights.high[taps.clone()], &weights.low[taps]);
    assert!(
        fours * 12 + LOAD - 12 + (R - 1) * row_bytes <= source.len(),
        "the last load of the last row lies within the source"
    );
    let mut high = [_mm256_setzero_si256(); R];
    // A half in one lane, since the lanes are added.
    let mut low = [_mm256_setr_epi32(HALF, HALF, HALF, HALF, 0, 0, 0, 0); R];
    for four in 0..fours {
        // SAFETY: both slices hold `fours * 4` weights of two bytes, so eight bytes from the fourth-numbered on.
        let (weight_high, weight_low) = unsafe {
            (
                _mm256_shuffle_epi8(load_weights(window_high.as_ptr().add(four * 4)), masks.spread),
                _mm256_shuffle_epi8(load_weights(window_low.as_ptr().add(four * 4)), masks.spread),
            )
        };
        for row in 0..R {
            // SAFETY: the assertion above bounds the last of these loads.
            let pixels = unsafe { _mm_loadu_si128(source.as_ptr().add(row * row_bytes + four * 12).cast()) };
            let pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(pixels), masks.widen);
            high[row] = _mm256_add_epi32(high[row], _mm256_madd_epi16(pairs, weight_high));
            low[row] = _mm256_add_epi32(low[row], _mm256_madd_epi16(pairs, weight_low));
        }
    }
    let mut sums = [_mm256_setzero_si256(); ROWS];
    for row in 0..R {
        sums[row] = join(high[row], low[row]);
    }
    sums
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

/// Computes one row of `out.len()` bytes, a multiple of [`BYTES`], from a window's rows.
#[target_feature(enable = "avx2")]
fn vertical_row(rows: &[u8], row_bytes: usize, weights: &Weights, window: &Window, out: &mut [u8]) {
    assert!(out.len() <= row_bytes && out.len().is_multiple_of(BYTES) && rows.len() >= window.len * row_bytes);
    let pairs = window.len.div_ceil(2);
    let taps = window.offset..window.offset + pairs * 2;
    let (window_high, window_low) = (&weights.high[taps.clone()], &weights.low[taps]);
    for (index, out) in out.chunks_exact_mut(BYTES).enumerate() {
        let zero = _mm256_setzero_si256();
        let (mut high, mut low) = ([zero; 4], [_mm256_set1_epi32(HALF); 4]);
        for pair in 0..pairs {
            // The second row of an odd window's last pair has weight zero; read the first one again.
            let (first, second) = (pair * 2, (pair * 2 + 1).min(window.len - 1));
            // SAFETY: both rows are below `window.len`, the bytes from `index * BYTES` on lie within a row since `out`
            // is not longer than a row, and `rows` holds `window.len` rows.
            let (a, b) = unsafe {
                (
                    _mm256_loadu_si256(rows.as_ptr().add(first * row_bytes + index * BYTES).cast()),
                    _mm256_loadu_si256(rows.as_ptr().add(second * row_bytes + index * BYTES).cast()),
                )
            };
            let (lower, upper) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            let levels = [
                _mm256_unpacklo_epi8(lower, zero),
                _mm256_unpackhi_epi8(lower, zero),
                _mm256_unpacklo_epi8(upper, zero),
                _mm256_unpackhi_epi8(upper, zero),
            ];
            let weight_high = weight_pair(window_high[first], window_high[first + 1]);
            let weight_low = weight_pair(window_low[first], window_low[first + 1]);
            for quarter in 0..4 {
                high[quarter] = _mm256_add_epi32(high[quarter], _mm256_madd_epi16(levels[quarter], weight_high));
                low[quarter] = _mm256_add_epi32(low[quarter], _mm256_madd_epi16(levels[quarter], weight_low));
            }
        }
        // Packing undoes what unpacking did, lane by lane.
        let sum = |quarter: usize| _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(join(high[quarter], low[quarter]));
        let (lower, upper) = (_mm256_packs_epi32(sum(0), sum(1)), _mm256_packs_epi32(sum(2), sum(3)));
        // SAFETY: `out` is a chunk of BYTES bytes; the store has no alignment to keep.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_packus_epi16(lower, upper)) };
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
