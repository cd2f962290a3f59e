//! Products of activations and weights, with what follows them: bias, activation, residual, conversion.
//!
//! The rows are cut into blocks, one task each. A task packs its rows once and goes through the weights panel by panel:
//! a panel's part stays in the first cache level while the block's rows, in the second, pass by it (Goto and van de
//! Geijn, "Anatomy of high-performance matrix multiplication", 2008).

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::activation::{Activation, swiglu};
use super::isa::Isa;
use super::operand::{Operand, encode};
use super::tile::{Numbers, Tile, prefetch};
use super::weights::{Layout, Weights};

/// Rows of a block, at most: with a part of the inputs each they fit the second cache level.
const BLOCK: usize = 192;
/// Panels whose sums are kept while a block goes through the inputs part by part.
const PANELS_AT_ONCE: usize = 8;

/// Where a product goes.
#[derive(Debug)]
pub(crate) enum Into<'a> {
    /// [rows, outputs], overwritten.
    Set(&'a mut [f32]),
    /// [rows, outputs], added to.
    Add(&'a mut [f32]),
    /// The left side of another product.
    Operand(&'a mut Operand),
}

/// A layer: `activation(left * weights + bias)`.
#[derive(Debug)]
pub(crate) struct Linear {
    isa: Isa,
    weights: Weights,
    /// Of straight weights: [panels, columns], zero beyond the last output.
    bias: Option<Vec<f32>>,
    activation: Activation,
}

/// A task's memory, kept by its thread: pages that are there already cost nothing.
#[derive(Debug, Default)]
struct Scratch {
    /// The block's rows, packed: [part][tile of rows][group][row].
    left: Vec<u32>,
    /// Widened words of a panel.
    wide: Vec<u32>,
    /// [panels at once][tiles of rows][rows of a tile][columns of a tile]
    sums: Vec<f32>,
    /// [rows, outputs] of a block, where whole rows are wanted.
    rows: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Where a task's finished values go: rows counted from its first one, columns from its first panel's.
enum Sink<'a> {
    Set { out: &'a mut [f32], stride: usize },
    Add { out: &'a mut [f32], stride: usize },
    Groups { numbers: Numbers, out: &'a mut [u32], stride: usize },
}

impl Sink<'_> {
    /// Writes the first `columns` of a row's values.
    #[inline(always)]
    fn write<const W: usize>(&mut self, row: usize, column: usize, columns: usize, values: &[f32; W]) {
        match self {
            Self::Set { out, stride } => {
                let to = &mut out[row * *stride + column..][..columns];
                match to.first_chunk_mut::<W>() {
                    Some(to) => *to = *values,
                    None => to.copy_from_slice(&values[..columns]),
                }
            }
            Self::Add { out, stride } => {
                let to = &mut out[row * *stride + column..][..columns];
                match to.first_chunk_mut::<W>() {
                    Some(to) => add(to, values),
                    None => add_some(to, &values[..columns]),
                }
            }
            Self::Groups { numbers, out, stride } => {
                let per = numbers.per_group();
                let to = &mut out[row * *stride + column / per..][..columns.div_ceil(per)];
                // Of a length that the compiler knows, where it is whole.
                encode(*numbers, if columns == W { values } else { &values[..columns] }, to);
            }
        }
    }
}

impl Linear {
    /// A layer over `weights`, which were packed for this family of instructions; `bias` [outputs] if they are straight.
    pub(crate) fn new(isa: Isa, weights: Weights, mut bias: Option<Vec<f32>>, activation: Activation) -> Self {
        if let Some(bias) = &mut bias {
            assert!(weights.layout == Layout::Straight && bias.len() == weights.outputs(), "each output has its bias");
            bias.resize(weights.panels() * weights.tile.columns(), 0.);
        }
        Self { isa, weights, bias, activation }
    }

    /// An empty left side for this layer.
    pub(crate) fn operand(&self) -> Operand {
        Operand::new(self.weights.numbers)
    }

    /// Runs it on the threads of rayon's pool.
    pub(crate) fn run(&self, left: &Operand, into: Into<'_>) {
        assert_eq!(left.inputs(), self.weights.inputs(), "the left side has as many inputs as the weights");
        assert_eq!(left.numbers, self.weights.numbers, "both sides are of the same numbers");
        if left.rows() == 0 {
            return;
        }
        let (blocks, threads) = (blocks(left.rows(), self.weights.tile.rows()), rayon::current_num_threads());
        if blocks.len() < threads && self.weights.panels() > 1 {
            self.by_columns(left, into, threads);
        } else {
            self.by_rows(left, into, &blocks);
        }
    }

    fn by_rows(&self, left: &Operand, into: Into<'_>, blocks: &[Range<usize>]) {
        let stride = self.weights.outputs();
        let panels = 0..self.weights.panels();
        match into {
            Into::Set(out) => {
                each(blocks, cut(out, blocks, stride)).for_each(|(rows, out)| {
                    self.block(left, rows, panels.clone(), Sink::Set { out, stride });
                });
            }
            Into::Add(out) => {
                each(blocks, cut(out, blocks, stride)).for_each(|(rows, out)| {
                    self.block(left, rows, panels.clone(), Sink::Add { out, stride });
                });
            }
            Into::Operand(out) => {
                out.resize(left.rows(), stride);
                let (numbers, width) = (out.numbers, out.groups_per_row());
                let groups = cut(&mut out.groups, blocks, width);
                let scales = cut(&mut out.scales, blocks, 1);
                each(blocks, groups.into_iter().zip(scales).collect()).for_each(|(rows, (groups, scales))| {
                    match numbers {
                        Numbers::F32 | Numbers::Bf16 => {
                            let sink = Sink::Groups { numbers, out: groups, stride: width };
                            self.block(left, rows, panels.clone(), sink);
                        }
                        // The step is the row's: its values are wanted together.
                        Numbers::I16 | Numbers::U8I8 => {
                            let mut whole = SCRATCH.with_borrow_mut(|scratch| std::mem::take(&mut scratch.rows));
                            whole.resize(scales.len() * stride, 0.);
                            self.block(left, rows, panels.clone(), Sink::Set { out: &mut whole, stride });
                            encode_rows(self.isa, numbers, &whole, stride, groups, scales);
                            SCRATCH.with_borrow_mut(|scratch| scratch.rows = whole);
                        }
                    }
                });
            }
        }
    }

    /// Few rows: tasks for ranges of panels, whose values are put together afterwards.
    fn by_columns(&self, left: &Operand, into: Into<'_>, threads: usize) {
        let (rows, outputs, panels) = (left.rows(), self.weights.outputs(), self.weights.panels());
        let size = panels.div_ceil(2 * threads);
        let ranges: Vec<_> = (0..panels).step_by(size).map(|first| first..(first + size).min(panels)).collect();
        let pieces: Vec<(usize, usize, Vec<f32>)> = ranges
            .into_par_iter()
            .map(|panels| {
                let first = panels.start * self.outputs_per_panel();
                let stride = (panels.end * self.outputs_per_panel()).min(outputs) - first;
                let mut piece = vec![0.; rows * stride];
                self.block(left, 0..rows, panels, Sink::Set { out: &mut piece, stride });
                (first, stride, piece)
            })
            .collect();
        let gather = |out: &mut [f32], take: fn(&mut [f32], &[f32])| {
            for (first, width, piece) in &pieces {
                for (row, values) in piece.chunks(*width).enumerate() {
                    take(&mut out[row * outputs + first..][..*width], values);
                }
            }
        };
        match into {
            Into::Set(out) => gather(out, <[f32]>::copy_from_slice),
            Into::Add(out) => gather(out, add_some),
            Into::Operand(out) => {
                let mut whole = vec![0.; rows * outputs];
                gather(&mut whole, <[f32]>::copy_from_slice);
                out.resize(rows, outputs);
                encode_rows(self.isa, out.numbers, &whole, outputs, &mut out.groups, &mut out.scales);
            }
        }
    }

    /// The product of some rows with some panels.
    fn block(&self, left: &Operand, rows: Range<usize>, panels: Range<usize>, mut sink: Sink<'_>) {
        SCRATCH.with_borrow_mut(|scratch| {
            let parts = Parts::of(&self.weights);
            pack_rows(left, rows.clone(), &self.weights.tile, &parts, &mut scratch.left);
            for start in panels.clone().step_by(PANELS_AT_ONCE) {
                let chunk = start..(start + PANELS_AT_ONCE).min(panels.end);
                self.sum_up(rows.len(), chunk.clone(), &parts, scratch);
                let scales = &left.scales[rows.clone()];
                let (sums, sink) = (&scratch.sums, &mut sink);
                self.isa.vectorise(
                    #[inline(always)]
                    || match (self.weights.tile.columns(), self.isa.fuses()) {
                        (8, _) => self.finish::<8, false>(chunk, panels.start, scales, sums, sink),
                        (16, _) => self.finish::<16, true>(chunk, panels.start, scales, sums, sink),
                        #[cfg(test)]
                        (32, false) => self.finish::<32, false>(chunk, panels.start, scales, sums, sink),
                        _ => self.finish::<32, true>(chunk, panels.start, scales, sums, sink),
                    },
                );
            }
        });
    }

    /// Sums of some panels over all inputs, part by part.
    fn sum_up(&self, rows: usize, panels: Range<usize>, parts: &Parts, scratch: &mut Scratch) {
        let tile = &self.weights.tile;
        let size = tile.rows() * tile.columns();
        let tiles = rows.div_ceil(tile.rows());
        let Scratch { left: packed, wide, sums, .. } = scratch;
        sums.resize(panels.len() * tiles * size, 0.);
        for part in 0..parts.count {
            let groups = parts.groups(part);
            let packed = &packed[parts.start(part) * tiles * tile.rows()..][..groups * tiles * tile.rows()];
            for (panel, sums) in panels.clone().zip(sums.chunks_exact_mut(tiles * size)) {
                let right = self.weights.groups(self.isa, panel, parts.words(part), wide);
                let start = self.weights.starts(panel);
                // The panel after this one, a piece for each tile: it is on its way when its turn comes.
                let next = match panel + 1 < self.weights.panels() {
                    true => self.weights.stored(panel + 1, parts.words(part)),
                    false => &[],
                };
                let mut ahead = next.chunks(next.len().div_ceil(tiles).max(1));
                for (left, sums) in packed.chunks_exact(groups * tile.rows()).zip(sums.chunks_exact_mut(size)) {
                    prefetch(ahead.next().unwrap_or_default());
                    match part {
                        0 => tile.multiply(left, right, start, sums),
                        _ => tile.add_product(left, right, sums),
                    }
                }
            }
        }
    }

    fn outputs_per_panel(&self) -> usize {
        match self.weights.layout {
            Layout::Straight => self.weights.tile.columns(),
            Layout::Gated => self.weights.tile.columns() / 2,
        }
    }

    /// Scales, bias and activation of the sums of some panels of `W` columns, and where they go.
    #[inline(always)]
    fn finish<const W: usize, const FUSED: bool>(
        &self,
        panels: Range<usize>,
        first: usize,
        scales: &[f32],
        sums: &[f32],
        sink: &mut Sink<'_>,
    ) {
        let tile = &self.weights.tile;
        debug_assert_eq!(W, tile.columns());
        let sums = sums.as_chunks::<W>().0;
        let per_panel = self.outputs_per_panel();
        for (panel, sums) in panels.zip(sums.chunks_exact(scales.len().next_multiple_of(tile.rows()))) {
            let column = (panel - first) * per_panel;
            let columns = per_panel.min(self.weights.outputs() - panel * per_panel);
            let column_scales = self.weights.scales(panel).and_then(<[f32]>::first_chunk::<W>);
            let bias = self.bias.as_ref().and_then(|bias| bias[panel * W..].first_chunk::<W>());
            for (row, (sums, scale)) in sums.iter().zip(scales).enumerate() {
                let mut values = *sums;
                if let Some(column_scales) = column_scales {
                    (0..W).for_each(|lane| values[lane] *= column_scales[lane] * scale);
                }
                if let Some(bias) = bias {
                    add(&mut values, bias);
                }
                match self.weights.layout {
                    Layout::Straight => self.activation.apply::<FUSED>(&mut values),
                    Layout::Gated => {
                        let (gates, values) = values.split_at_mut(W / 2);
                        swiglu::<FUSED>(gates, values);
                    }
                }
                sink.write(row, column, columns, &values);
            }
        }
    }
}

/// The inputs of a product, in parts that the caches hold.
struct Parts {
    count: usize,
    words: usize,
    all_words: usize,
    groups_per_word: usize,
}

impl Parts {
    fn of(weights: &Weights) -> Self {
        let all_words = weights.words();
        // A part of a panel is to fit the first cache level with some of the left side.
        let groups = if weights.tile.columns() > 16 { 192 } else { 256 };
        // Sums that begin somewhere else than at zero are not begun twice.
        let most = if weights.starts(0).is_some() { all_words } else { groups / weights.groups_per_word() };
        let count = all_words.div_ceil(most.max(1)).max(1);
        let words = all_words.div_ceil(count).next_multiple_of(weights.tile.step()).max(1);
        let count = all_words.div_ceil(words).max(1);
        Self { count, words, all_words, groups_per_word: weights.groups_per_word() }
    }

    fn words(&self, part: usize) -> Range<usize> {
        (part * self.words).min(self.all_words)..((part + 1) * self.words).min(self.all_words)
    }

    fn groups(&self, part: usize) -> usize {
        self.words(part).len() * self.groups_per_word
    }

    fn start(&self, part: usize) -> usize {
        part * self.words * self.groups_per_word
    }
}

/// Packs rows as tiles read them: part by part, tile by tile, step by step, group by group. Rows beyond the last one and groups
/// beyond the last input are zero.
fn pack_rows(left: &Operand, rows: Range<usize>, tile: &Tile, parts: &Parts, packed: &mut Vec<u32>) {
    let tiles = rows.len().div_ceil(tile.rows());
    let all = parts.all_words * parts.groups_per_word;
    packed.resize(tiles * tile.rows() * all, 0);
    for part in 0..parts.count {
        let (start, groups) = (parts.start(part), parts.groups(part));
        let packed = &mut packed[start * tiles * tile.rows()..][..groups * tiles * tile.rows()];
        for (place, packed) in packed.chunks_mut((groups * tile.rows()).max(1)).enumerate() {
            let first = rows.start + place * tile.rows();
            tile.pack(packed, |row| {
                let groups_of_row = if first + row < rows.end { left.row(first + row) } else { &[] };
                let end = (start + groups).min(groups_of_row.len());
                &groups_of_row[start.min(end)..end]
            });
        }
    }
}

#[inline(always)]
pub(super) fn add<const W: usize>(to: &mut [f32; W], values: &[f32; W]) {
    for lane in 0..W {
        to[lane] += values[lane];
    }
}

fn add_some(to: &mut [f32], values: &[f32]) {
    to.iter_mut().zip(values).for_each(|(to, value)| *to += value);
}

fn encode_rows(isa: Isa, numbers: Numbers, values: &[f32], width: usize, groups: &mut [u32], scales: &mut [f32]) {
    let per_row = groups.len() / scales.len().max(1);
    for ((values, groups), scale) in values.chunks(width).zip(groups.chunks_mut(per_row)).zip(scales) {
        *scale = isa.vectorise(|| encode(numbers, values, groups));
    }
}

/// Ranges of rows of about the same number of tiles, [`BLOCK`] rows at most.
fn blocks(rows: usize, tile: usize) -> Vec<Range<usize>> {
    let tiles = rows.div_ceil(tile);
    let most = (BLOCK / tile).max(1);
    let threads = rayon::current_num_threads();
    let count = tiles.div_ceil(most);
    // A number of blocks that all threads share evenly, as long as no block is small.
    let count = if tiles >= threads * 2 { count.next_multiple_of(threads) } else { count };
    (0..count).map(|b| (b * tiles / count * tile)..((b + 1) * tiles / count * tile).min(rows)).collect()
}

/// Cuts [rows, width] at the blocks' borders.
pub(super) fn cut<'a, T>(mut values: &'a mut [T], blocks: &[Range<usize>], width: usize) -> Vec<&'a mut [T]> {
    let mut pieces = Vec::with_capacity(blocks.len());
    for block in blocks {
        let (piece, rest) = values.split_at_mut(block.len() * width);
        pieces.push(piece);
        values = rest;
    }
    pieces
}

fn each<T: Send>(blocks: &[Range<usize>], pieces: Vec<T>) -> impl ParallelIterator<Item = (Range<usize>, T)> {
    blocks.to_vec().into_par_iter().zip(pieces)
}
