//! The right side of a product: a layer's weights, packed once as the innermost loop reads them.

use rayon::prelude::*;

use super::isa::Isa;
use super::memory::Words;
use super::operand::magnitude;
use super::short::{from_f16, to_bf16, to_f16, to_i8};
use super::source::Source;
use super::tile::{Numbers, Tile};

/// What weights are kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
    /// Bytes, with one scale an output: the largest magnitude of its weights is 127 steps.
    I8,
}

impl Storage {
    /// Weights in 32 bits.
    fn per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 | Self::F16 => 2,
            Self::I8 => 4,
        }
    }

    /// What a product of such weights computes with on a CPU: short numbers where it has their dot product, otherwise
    /// f32 (of bytes: pairs of i16).
    pub(crate) fn numbers(self, isa: Isa) -> Numbers {
        match self {
            Self::Bf16 if isa.has_bf16() => Numbers::Bf16,
            Self::F32 | Self::Bf16 | Self::F16 => Numbers::F32,
            Self::I8 if isa.has_bytes() => Numbers::U8I8,
            Self::I8 => Numbers::I16,
        }
    }

    /// What attention between such layers computes with: bf16 where the CPU multiplies it.
    pub(crate) fn attention(self, isa: Isa) -> Numbers {
        match self {
            Self::Bf16 | Self::I8 if isa.has_bf16() => Numbers::Bf16,
            _ => Numbers::F32,
        }
    }
}

/// How the outputs of a layer lie in its panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One after the other.
    Straight,
    /// The first half of the outputs are gates of the second half: each panel has gates in its first half and what they
    /// gate in its second one.
    Gated,
}

/// Weights [outputs, inputs] in panels of as many outputs as a tile has columns; a panel has, for each word of inputs,
/// the words of its outputs. What is beyond the last output and input is zero.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(super) tile: Tile,
    pub(super) numbers: Numbers,
    pub(super) layout: Layout,
    storage: Storage,
    inputs: usize,
    outputs: usize,
    panels: Words,
    /// One a column of the panels; empty unless the storage is I8.
    scales: Vec<f32>,
    /// What makes up for a left side that is 128 too large: one a column; empty unless the numbers are U8I8.
    starts: Vec<i32>,
}

impl Weights {
    /// Packs the rows of `sources`, each [outputs, inputs], one source after the other.
    pub(crate) fn pack(isa: Isa, storage: Storage, layout: Layout, sources: &[Source<'_>]) -> Self {
        let numbers = storage.numbers(isa);
        let tile = Tile::new(isa, numbers);
        let inputs = sources.first().map_or(0, Source::columns);
        let rows: Vec<(&Source<'_>, usize)> = sources.iter().flat_map(|s| (0..s.rows()).map(move |r| (s, r))).collect();
        let (outputs, columns) = (rows.len(), tile.columns());
        // The output at a place of a panel.
        let output = |panel: usize, column: usize| match layout {
            Layout::Straight => Some(panel * columns + column).filter(|o| *o < outputs),
            Layout::Gated => {
                let half = columns / 2;
                let place = panel * half + column % half;
                (place < outputs / 2).then_some(if column < half { place } else { outputs / 2 + place })
            }
        };
        let count = match layout {
            Layout::Straight => outputs.div_ceil(columns),
            Layout::Gated => (outputs / 2).div_ceil(columns / 2),
        };
        let words = inputs.div_ceil(storage.per_word()).next_multiple_of(tile.step());
        let mut panels = Words::zeroed(count * words * columns);
        let mut scales = vec![1.; if storage == Storage::I8 { count * columns } else { 0 }];
        let mut starts = vec![0; if numbers == Numbers::U8I8 { count * columns } else { 0 }];
        let each = panels.all_mut().par_chunks_mut((words * columns).max(1)).enumerate();
        let scales_of = pieces(&mut scales, columns, count);
        let starts_of = pieces(&mut starts, columns, count);
        each.zip(scales_of).zip(starts_of).for_each(|(((panel, words), scales), starts)| {
            let mut row = vec![0.; inputs];
            // Rows of words before they are turned: a stride that is no power of two keeps them apart in the caches.
            let stride = words.len() / columns + 16;
            let mut lines = vec![0; columns * stride];
            for (column, line) in lines.chunks_exact_mut(stride).enumerate() {
                let Some(output) = output(panel, column) else { continue };
                let (source, number) = rows[output];
                source.row(number, &mut row);
                if let Some(scale) = scales.get_mut(column) {
                    *scale = to_steps(&mut row);
                }
                isa.vectorise(|| encode(storage, &row, line));
                if let Some(start) = starts.get_mut(column) {
                    *start = -128 * row.iter().map(|w| i32::from(to_i8(*w) as u8 as i8)).sum::<i32>();
                }
            }
            for (place, words) in words.chunks_exact_mut(columns).enumerate() {
                for (word, line) in words.iter_mut().zip(lines.chunks_exact(stride)) {
                    *word = line[place];
                }
            }
        });
        Self { tile, numbers, layout, storage, inputs, outputs, panels, scales, starts }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Outputs of the product: of gated weights, one for each gate.
    pub(crate) fn outputs(&self) -> usize {
        match self.layout {
            Layout::Straight => self.outputs,
            Layout::Gated => self.outputs / 2,
        }
    }

    pub(super) fn panels(&self) -> usize {
        self.panels.all().len() / (self.words() * self.tile.columns()).max(1)
    }

    /// The scales of a panel's columns, if there are any.
    pub(super) fn scales(&self, panel: usize) -> Option<&[f32]> {
        self.scales.chunks(self.tile.columns()).nth(panel)
    }

    /// The numbers with which the sums of a panel's columns begin, if there are any.
    pub(super) fn starts(&self, panel: usize) -> Option<&[i32]> {
        self.starts.chunks(self.tile.columns()).nth(panel)
    }

    /// Words of an output's inputs, in whole steps of the tile: those beyond the last input are zero.
    pub(super) fn words(&self) -> usize {
        self.inputs.div_ceil(self.storage.per_word()).next_multiple_of(self.tile.step())
    }

    /// Groups of a word that is widened: how much longer the sums are than the panel.
    pub(super) fn groups_per_word(&self) -> usize {
        self.storage.per_word() / self.numbers.per_group()
    }

    /// The words `range` of a panel.
    pub(super) fn stored(&self, panel: usize, range: std::ops::Range<usize>) -> &[u32] {
        let columns = self.tile.columns();
        let start = panel * self.words() * columns;
        &self.panels.all()[start + range.start * columns..start + range.end * columns]
    }

    /// The words `range` of a panel as groups: the panel itself, or widened into `wide`.
    pub(super) fn groups<'a>(
        &'a self,
        isa: Isa,
        panel: usize,
        range: std::ops::Range<usize>,
        wide: &'a mut Vec<u32>,
    ) -> &'a [u32] {
        let columns = self.tile.columns();
        let words = self.stored(panel, range);
        if self.groups_per_word() == 1 {
            return words;
        }
        wide.resize(words.len() * 2, 0);
        isa.vectorise(|| widen(self.storage, words, wide, columns));
        wide
    }
}

/// `count` pieces of `size`, or that many empty ones.
fn pieces<T: Send>(values: &mut [T], size: usize, count: usize) -> Vec<&mut [T]> {
    if values.is_empty() {
        return (0..count).map(|_| Default::default()).collect();
    }
    values.chunks_mut(size).collect()
}

/// Divides weights by the step that makes the largest of them 127; the step, which is no number if a weight is none.
fn to_steps(weights: &mut [f32]) -> f32 {
    let largest = magnitude(weights);
    if !largest.is_finite() {
        return f32::NAN;
    }
    let step = if largest > 0. { largest / 127. } else { 1. };
    weights.iter_mut().for_each(|w| *w *= 1. / step);
    step
}

/// Writes weights as words, the first one in the lowest bits.
#[inline(always)]
fn encode(storage: Storage, weights: &[f32], words: &mut [u32]) {
    match storage {
        Storage::F32 => words.iter_mut().zip(weights).for_each(|(word, weight)| *word = weight.to_bits()),
        Storage::Bf16 => join(weights, words, |[a, b]: [f32; 2]| to_bf16(a) | to_bf16(b) << 16),
        Storage::F16 => join(weights, words, |[a, b]: [f32; 2]| to_f16(a) | to_f16(b) << 16),
        Storage::I8 => {
            join(weights, words, |[a, b, c, d]: [f32; 4]| to_i8(a) | to_i8(b) << 8 | to_i8(c) << 16 | to_i8(d) << 24)
        }
    }
}

/// Joins `N` weights a word; zeros fill the last one up.
#[inline(always)]
fn join<const N: usize>(weights: &[f32], words: &mut [u32], word: impl Fn([f32; N]) -> u32) {
    let (whole, rest) = weights.as_chunks::<N>();
    words.iter_mut().zip(whole).for_each(|(to, weights)| *to = word(*weights));
    if !rest.is_empty() {
        let mut last = [0.; N];
        last[..rest.len()].copy_from_slice(rest);
        words[whole.len()] = word(last);
    }
}

/// Each row of `columns` words becomes two rows of groups: bf16 and f16 as f32, bytes as pairs of i16.
#[inline(always)]
fn widen(storage: Storage, words: &[u32], wide: &mut [u32], columns: usize) {
    let each = words.chunks_exact(columns).zip(wide.chunks_exact_mut(2 * columns));
    for (words, wide) in each {
        let (first, second) = wide.split_at_mut(columns);
        let places = words.iter().zip(first).zip(second);
        match storage {
            Storage::F32 => {}
            Storage::Bf16 => {
                for ((word, first), second) in places {
                    (*first, *second) = (word << 16, word & 0xffff_0000);
                }
            }
            Storage::F16 => {
                for ((word, first), second) in places {
                    (*first, *second) = (from_f16(word & 0xffff).to_bits(), from_f16(word >> 16).to_bits());
                }
            }
            Storage::I8 => {
                let extend = |byte: u32| (byte as i32) >> 24;
                let pair = |low: i32, high: i32| low as u32 & 0xffff | (high as u32) << 16;
                for ((word, first), second) in places {
                    *first = pair(extend(word << 24), extend(word << 16));
                    *second = pair(extend(word << 8), extend(*word));
                }
            }
        }
    }
}
