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
use super::tile::{MOST, Numbers, Tile, prefetch};
use super::weights::{Layout, WORDS_AT_ONCE, Weights};

/// Rows of a block, at most: with [`WORDS_AT_ONCE`] groups each they fit the second cache level.
const BLOCK: usize = 96;
/// Panels whose sums are kept while a block goes through the inputs part by part.
const PANELS_AT_ONCE: usize = 16;

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
    /// [outputs] of straight weights.
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
    /// Sums of [`PANELS_AT_ONCE`] panels over the parts so far.
    sums: Vec<f32>,
    /// [rows, outputs] of a block, where whole rows are wanted.
    rows: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Finished values of a block: `rows` from `row` on, `columns` of them from `column` on, `stride` apart.
struct Finished<'a> {
    row: usize,
    rows: usize,
    column: usize,
    columns: usize,
    stride: usize,
    values: &'a [f32],
}

impl Finished<'_> {
    fn rows(&self) -> impl Iterator<Item = (usize, &[f32])> {
        (0..self.rows).map(|row| (self.row + row, &self.values[row * self.stride..][..self.columns]))
    }
}

impl Linear {
    /// A layer over `weights`, which were packed for this family of instructions.
    pub(crate) fn new(isa: Isa, weights: Weights, bias: Option<Vec<f32>>, activation: Activation) -> Self {
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
        let outputs = self.weights.outputs();
        let panels = 0..self.weights.panels();
        match into {
            Into::Set(out) => {
                each(blocks, cut(out, blocks, outputs)).for_each(|(rows, out)| {
                    self.block(left, rows, panels.clone(), &mut |f| {
                        for (row, values) in f.rows() {
                            out[row * outputs + f.column..][..f.columns].copy_from_slice(values);
                        }
                    });
                });
            }
            Into::Add(out) => {
                each(blocks, cut(out, blocks, outputs)).for_each(|(rows, out)| {
                    self.block(left, rows, panels.clone(), &mut |f| {
                        for (row, values) in f.rows() {
                            add(&mut out[row * outputs + f.column..][..f.columns], values);
                        }
                    });
                });
            }
            Into::Operand(out) => {
                out.resize(left.rows(), outputs);
                let (numbers, width) = (out.numbers, out.groups_per_row());
                let groups = cut(&mut out.groups, blocks, width);
                let scales = cut(&mut out.scales, blocks, 1);
                each(blocks, groups.into_iter().zip(scales).collect()).for_each(|(rows, (groups, scales))| {
                    match numbers {
                        Numbers::F32 | Numbers::Bf16 => self.block(left, rows, panels.clone(), &mut |f| {
                            let per = numbers.per_group();
                            for (row, values) in f.rows() {
                                let to = &mut groups[row * width + f.column / per..][..f.columns.div_ceil(per)];
                                encode(numbers, values, to);
                            }
                        }),
                        // The step is the row's: its values are wanted together.
                        Numbers::I16 | Numbers::U8I8 => {
                            let mut whole = SCRATCH.with_borrow_mut(|scratch| std::mem::take(&mut scratch.rows));
                            whole.resize(scales.len() * outputs, 0.);
                            self.block(left, rows, panels.clone(), &mut |f| {
                                for (row, values) in f.rows() {
                                    whole[row * outputs + f.column..][..f.columns].copy_from_slice(values);
                                }
                            });
                            encode_rows(self.isa, numbers, &whole, outputs, groups, scales);
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
        let pieces: Vec<Vec<(usize, usize, Vec<f32>)>> = ranges
            .into_par_iter()
            .map(|panels| {
                let mut pieces = Vec::new();
                self.block(left, 0..rows, panels, &mut |f| {
                    pieces.extend(f.rows().map(|(row, values)| (row, f.column, values.to_vec())));
                });
                pieces
            })
            .collect();
        let pieces = pieces.iter().flatten();
        match into {
            Into::Set(out) => {
                pieces.for_each(|(row, column, values)| {
                    out[row * outputs + column..][..values.len()].copy_from_slice(values)
                });
            }
            Into::Add(out) => {
                pieces
                    .for_each(|(row, column, values)| add(&mut out[row * outputs + column..][..values.len()], values));
            }
            Into::Operand(out) => {
                let mut whole = vec![0.; rows * outputs];
                pieces.for_each(|(row, column, values)| {
                    whole[row * outputs + column..][..values.len()].copy_from_slice(values)
                });
                out.resize(rows, outputs);
                encode_rows(self.isa, out.numbers, &whole, outputs, &mut out.groups, &mut out.scales);
            }
        }
    }

    /// The product of some rows with some panels; `finish` gets it tile by tile, rows counted from the range's start.
    fn block(&self, left: &Operand, rows: Range<usize>, panels: Range<usize>, finish: &mut dyn FnMut(Finished<'_>)) {
        SCRATCH.with_borrow_mut(|scratch| {
            let parts = Parts::of(&self.weights);
            pack_rows(left, rows.clone(), &self.weights.tile, &parts, &mut scratch.left);
            for start in panels.clone().step_by(PANELS_AT_ONCE) {
                let chunk = start..(start + PANELS_AT_ONCE).min(panels.end);
                self.chunk(left, &rows, chunk, &parts, scratch, finish);
            }
        });
    }

    fn chunk(
        &self,
        left: &Operand,
        rows: &Range<usize>,
        panels: Range<usize>,
        parts: &Parts,
        scratch: &mut Scratch,
        finish: &mut dyn FnMut(Finished<'_>),
    ) {
        let tile = &self.weights.tile;
        let size = tile.rows() * tile.columns();
        let tiles = rows.len().div_ceil(tile.rows());
        let Scratch { left: packed, wide, sums, .. } = scratch;
        if parts.count > 1 {
            sums.resize(PANELS_AT_ONCE * tiles * size, 0.);
        }
        let mut values = [0f32; MOST];
        for part in 0..parts.count {
            let (groups, packed) = (parts.groups(part), &packed[parts.start(part) * tiles * tile.rows()..]);
            for panel in panels.clone() {
                let right = self.weights.groups(self.isa, panel, parts.words(part), wide);
                let start = if part == 0 { self.weights.starts(panel) } else { None };
                // The panel after this one, a piece for each tile: it is on its way when its turn comes.
                let next = match panel + 1 < self.weights.panels() {
                    true => self.weights.stored(panel + 1, parts.words(part)),
                    false => &[],
                };
                let mut ahead = next.chunks(next.len().div_ceil(tiles).max(1));
                for place in 0..tiles {
                    prefetch(ahead.next().unwrap_or_default());
                    let left_tile = &packed[place * groups * tile.rows()..][..groups * tile.rows()];
                    tile.multiply(left_tile, right, start, &mut values);
                    if parts.count > 1 {
                        let sums = &mut sums[((panel - panels.start) * tiles + place) * size..][..size];
                        if part > 0 {
                            add(&mut values[..size], sums);
                        }
                        if part + 1 < parts.count {
                            sums.copy_from_slice(&values[..size]);
                            continue;
                        }
                    }
                    let row = place * tile.rows();
                    let count = tile.rows().min(rows.len() - row);
                    let scales = &left.scales[rows.start + row..][..count];
                    self.finish(panel, row, scales, &mut values[..size], finish);
                }
            }
        }
    }

    /// Scales, bias and activation of a tile's sums.
    fn finish(
        &self,
        panel: usize,
        row: usize,
        row_scales: &[f32],
        values: &mut [f32],
        finish: &mut dyn FnMut(Finished<'_>),
    ) {
        let width = self.weights.tile.columns();
        let half = width / 2;
        let (per_panel, is_gated) = match self.weights.layout {
            Layout::Straight => (width, false),
            Layout::Gated => (half, true),
        };
        let column = panel * per_panel;
        let columns = per_panel.min(self.weights.outputs() - column);
        let scales = self.weights.scales(panel);
        let bias = self.bias.as_ref().map(|bias| &bias[column..column + columns]);
        self.isa.vectorise(
            #[inline(always)]
            || {
                if let Some(scales) = scales {
                    for (values, row_scale) in values.chunks_exact_mut(width).zip(row_scales) {
                        values.iter_mut().zip(scales).for_each(|(value, scale)| *value *= scale * row_scale);
                    }
                }
                if let Some(bias) = bias {
                    values.chunks_exact_mut(width).for_each(|values| add(values, bias));
                }
                if is_gated {
                    for values in values.chunks_exact_mut(width) {
                        let (gates, values) = values.split_at_mut(half);
                        swiglu(gates, values);
                    }
                } else {
                    self.activation.apply(values);
                }
            },
        );
        finish(Finished { row, rows: row_scales.len(), column, columns, stride: width, values });
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
        let all_words = weights.word_count();
        // Whole numbers are added up in whole numbers only within a part: as long as their weights have starts, one part.
        let most = if weights.starts(0).is_some() { all_words } else { WORDS_AT_ONCE / weights.groups_per_word() };
        let count = all_words.div_ceil(most.max(1)).max(1);
        let words = all_words.div_ceil(count);
        Self { count, words, all_words, groups_per_word: weights.groups_per_word() }
    }

    fn words(&self, part: usize) -> Range<usize> {
        part * self.words..((part + 1) * self.words).min(self.all_words)
    }

    fn groups(&self, part: usize) -> usize {
        self.words(part).len() * self.groups_per_word
    }

    fn start(&self, part: usize) -> usize {
        part * self.words * self.groups_per_word
    }
}

/// Packs rows as tiles read them: part by part, tile by tile, group by group. Rows beyond the last one are zero.
fn pack_rows(left: &Operand, rows: Range<usize>, tile: &Tile, parts: &Parts, packed: &mut Vec<u32>) {
    let tiles = rows.len().div_ceil(tile.rows());
    let all = parts.all_words * parts.groups_per_word;
    packed.resize(tiles * tile.rows() * all, 0);
    for part in 0..parts.count {
        let (start, groups) = (parts.start(part), parts.groups(part));
        let packed = &mut packed[start * tiles * tile.rows()..][..groups * tiles * tile.rows()];
        for (place, packed) in packed.chunks_mut(groups * tile.rows()).enumerate() {
            for row in 0..tile.rows() {
                let number = rows.start + place * tile.rows() + row;
                let source = if number < rows.end { left.row(number) } else { &[] };
                let source = &source[start.min(source.len())..(start + groups).min(source.len())];
                let places = packed.iter_mut().skip(row).step_by(tile.rows());
                let groups = source.iter().copied().chain(std::iter::repeat(0));
                places.zip(groups).for_each(|(place, group)| *place = group);
            }
        }
    }
}

#[inline(always)]
fn add(to: &mut [f32], values: &[f32]) {
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
