//! Attention over packed sequences: no padding, and no more scores in memory than a block's.
//!
//! A block of queries goes over the keys part by part, keeping the largest score and the sum of the weights so far (Dao
//! et al., "FlashAttention", arXiv 2205.14135). Sequences may share the keys of a common beginning.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::activation::{exp, largest, sum};
use super::isa::Isa;
use super::matmul::cut;
use super::norm::fill;
use super::operand::{Operand, encode};
use super::tile::{MOST, Numbers, Tile};

/// Heads of queries, and how many keys and values there are for them: each serves `query / key_value` consecutive ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    pub(crate) key_value: usize,
    /// Values of a head.
    pub(crate) width: usize,
}

impl Heads {
    /// Values of a row of queries.
    pub(crate) fn queries(&self) -> usize {
        self.query * self.width
    }

    /// Values of a row of keys and values: all keys, then all values.
    pub(crate) fn keys_values(&self) -> usize {
        2 * self.key_value * self.width
    }

    fn group(&self) -> usize {
        self.query / self.key_value
    }
}

/// Queries that look at the same keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// Rows of the queries.
    pub(crate) queries: Range<usize>,
    /// Rows of keys that all of them see.
    pub(crate) shared: Range<usize>,
    /// Rows of keys that come after those.
    pub(crate) own: Range<usize>,
    /// How many of `own` the first query sees; each further query sees one more. `own.len()` for all to see all.
    pub(crate) seen: usize,
}

impl Span {
    fn keys(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    fn key_rows(&self) -> impl Iterator<Item = usize> {
        self.shared.clone().chain(self.own.clone())
    }

    /// Keys that a query sees.
    fn limit(&self, query: usize) -> usize {
        self.shared.len() + (self.seen + query).min(self.own.len())
    }
}

/// Rows of queries or of keys and values: [rows, stride], of which a row begins at `offset`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) offset: usize,
}

impl<'a> Rows<'a> {
    fn head(&self, row: usize, start: usize, width: usize) -> &'a [f32] {
        &self.values[row * self.stride + self.offset + start..][..width]
    }
}

/// Scaled dot-product attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    isa: Isa,
    numbers: Numbers,
    tile: Tile,
    heads: Heads,
}

/// Keys that a block of queries looks at together, at most.
const KEYS: usize = 1024;
/// Tiles of query rows in a block.
const TILES: usize = 4;

/// A task's memory, kept by its thread.
#[derive(Debug, Default)]
struct Scratch {
    queries: Vec<u32>,
    scores: Vec<f32>,
    weights: Vec<u32>,
    row: Vec<f32>,
    groups: Vec<u32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Keys and values of one head, packed as tiles read them.
struct Packed {
    /// [panels of keys][groups of a head][key]
    keys: Vec<u32>,
    /// [parts of `KEYS` keys][panels of a head][groups of keys][value]
    values: Vec<u32>,
}

impl Attention {
    /// With numbers that the family has no instruction for, in f32.
    pub(crate) fn new(isa: Isa, numbers: Numbers, heads: Heads) -> Self {
        let numbers = if numbers == Numbers::F32 { numbers } else { Numbers::Bf16 };
        let (tile, numbers) = match Tile::new(isa, numbers) {
            Some(tile) if isa != Isa::Plain => (tile, numbers),
            _ => (Tile::new(isa, Numbers::F32).unwrap_or_else(|| Tile::plain(Numbers::F32)), Numbers::F32),
        };
        Self { isa, numbers, tile, heads }
    }

    #[cfg(test)]
    pub(super) fn with_tile(tile: Tile, numbers: Numbers, heads: Heads) -> Self {
        Self { isa: Isa::detect(), numbers, tile, heads }
    }

    /// Attention of the queries of all spans: `queries` and `keys_values` as [`Heads`] lays their rows out, `out` [queries
    /// of all spans, heads * width]. `mixed` is memory that the next call can use again.
    pub(crate) fn run(
        &self,
        queries: Rows<'_>,
        keys_values: Rows<'_>,
        spans: &[Span],
        mixed: &mut Vec<f32>,
        out: &mut Operand,
    ) {
        let Heads { key_value, width, .. } = self.heads;
        let group = self.heads.group();
        let units: Vec<(&Span, usize)> = spans.iter().flat_map(|s| (0..key_value).map(move |head| (s, head))).collect();
        let count: usize = spans.iter().map(|span| span.queries.len()).sum();
        mixed.resize(count * self.heads.queries(), 0.);
        let lengths: Vec<_> = units.iter().map(|(span, _)| 0..span.queries.len()).collect();
        let pieces = cut(mixed, &lengths, group * width);
        units.into_par_iter().zip(pieces).for_each(|((span, head), out)| {
            let packed = self.pack(keys_values, span, head);
            let rows = self.tile.rows() * TILES;
            out.par_chunks_mut(rows * width).enumerate().for_each(|(block, out)| {
                SCRATCH.with_borrow_mut(|scratch| self.block(queries, span, head, block * rows, &packed, scratch, out));
            });
        });
        // From unit by unit to row by row.
        let mut starts = Vec::with_capacity(count);
        let mut total = 0;
        for span in spans {
            starts.extend((0..span.queries.len()).map(|query| (total + query * group * width, span.queries.len())));
            total += span.queries.len() * self.heads.queries();
        }
        out.resize(count, self.heads.queries());
        let mixed = &*mixed;
        fill(self.isa, out, |row, to| {
            let (start, queries) = starts[row];
            for (head, to) in to.chunks_mut(group * width).enumerate() {
                to.copy_from_slice(&mixed[start + head * queries * group * width..][..group * width]);
            }
        });
    }

    /// Groups of `values` numbers.
    fn groups(&self, values: usize) -> usize {
        values.div_ceil(self.numbers.per_group())
    }

    fn pack(&self, keys_values: Rows<'_>, span: &Span, head: usize) -> Packed {
        let Heads { key_value, width, .. } = self.heads;
        let (columns, groups) = (self.tile.columns(), self.groups(width));
        let mut keys = vec![0; span.keys().div_ceil(columns) * groups * columns];
        let mut row = vec![0; groups];
        for (key, number) in span.key_rows().enumerate() {
            encode(self.numbers, keys_values.head(number, head * width, width), &mut row);
            let panel = &mut keys[key / columns * groups * columns..][..groups * columns];
            let places = panel.iter_mut().skip(key % columns).step_by(columns);
            places.zip(&row).for_each(|(place, group)| *place = *group);
        }
        let per_group = self.numbers.per_group();
        let panels = width.div_ceil(columns);
        let mut values = Vec::with_capacity(self.groups(span.keys()) * panels * columns);
        let rows: Vec<usize> = span.key_rows().collect();
        for part in rows.chunks(KEYS) {
            for panel in 0..panels {
                let first = panel * columns;
                let count = columns.min(width - first);
                for rows in part.chunks(per_group) {
                    let start = values.len();
                    values.resize(start + columns, 0);
                    for (place, number) in rows.iter().enumerate() {
                        let from = keys_values.head(*number, (key_value + head) * width + first, count);
                        for (group, value) in values[start..].iter_mut().zip(from) {
                            *group |= match self.numbers {
                                Numbers::F32 => value.to_bits(),
                                _ => super::short::to_bf16(*value) << (16 * place),
                            };
                        }
                    }
                }
            }
        }
        Packed { keys, values }
    }

    /// The rows of a unit from `first` on: a row is a query and one of the heads that share the keys. `out` [rows, width].
    #[expect(clippy::too_many_arguments, reason = "the parts of one call of `run`")]
    fn block(
        &self,
        queries: Rows<'_>,
        span: &Span,
        head: usize,
        first: usize,
        packed: &Packed,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let (width, group) = (self.heads.width, self.heads.group());
        let rows = out.len() / width;
        let (tile_rows, columns) = (self.tile.rows(), self.tile.columns());
        let tiles = rows.div_ceil(tile_rows);
        let limits: Vec<usize> = (first..first + rows).map(|row| span.limit(row / group)).collect();
        self.pack_queries(queries, span, head, first, rows, scratch);
        let all = limits.last().copied().unwrap_or(0);
        let (head_groups, panels) = (self.groups(width), width.div_ceil(columns));
        let mut state = vec![(f32::NEG_INFINITY, 0f32); rows];
        let mut values = [0f32; MOST];
        out.fill(0.);
        for start in (0..all).step_by(KEYS) {
            let keys = KEYS.min(all - start);
            let stride = keys.next_multiple_of(columns);
            // Scores of the block.
            scratch.scores.resize(tiles * tile_rows * stride, 0.);
            for panel in 0..keys.div_ceil(columns) {
                let right = &packed.keys[(start / columns + panel) * head_groups * columns..][..head_groups * columns];
                for place in 0..tiles {
                    let left = &scratch.queries[place * head_groups * tile_rows..][..head_groups * tile_rows];
                    self.tile.multiply(left, right, None, &mut values);
                    for (row, values) in values.chunks_exact(columns).take(tile_rows).enumerate() {
                        let at = (place * tile_rows + row) * stride + panel * columns;
                        scratch.scores[at..at + columns].copy_from_slice(values);
                    }
                }
            }
            // Weights of the block, and what they do to the sums so far.
            let groups = self.groups(keys);
            scratch.weights.clear();
            scratch.weights.resize(tiles * groups * tile_rows, 0);
            scratch.groups.resize(groups, 0);
            let each = scratch.scores.chunks_exact_mut(stride).zip(&mut state).zip(out.chunks_exact_mut(width));
            for (row, ((scores, state), out)) in each.enumerate() {
                let seen = limits[row].saturating_sub(start).min(keys);
                let row_groups = &mut scratch.groups;
                self.isa.vectorise(
                    #[inline(always)]
                    || {
                        weigh(&mut scores[..keys], seen, state, out);
                        encode(self.numbers, &scores[..keys], row_groups);
                    },
                );
                let tile = &mut scratch.weights[row / tile_rows * groups * tile_rows..][..groups * tile_rows];
                let places = tile.iter_mut().skip(row % tile_rows).step_by(tile_rows);
                places.zip(&scratch.groups).for_each(|(place, group)| *place = *group);
            }
            // Values, weighted.
            let part_groups = self.groups(KEYS.min(span.keys() - start));
            let part = &packed.values[self.groups(start) * panels * columns..];
            for panel in 0..panels {
                let right = &part[panel * part_groups * columns..][..groups * columns];
                let count = columns.min(width - panel * columns);
                for place in 0..tiles {
                    let left = &scratch.weights[place * groups * tile_rows..][..groups * tile_rows];
                    self.tile.multiply(left, right, None, &mut values);
                    let rows = out[place * tile_rows * width..].chunks_exact_mut(width).take(tile_rows);
                    for (out, values) in rows.zip(values.chunks_exact(columns)) {
                        let out = &mut out[panel * columns..][..count];
                        out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
                    }
                }
            }
        }
        for (out, (_, total)) in out.chunks_exact_mut(width).zip(&state) {
            out.iter_mut().for_each(|value| *value /= total);
        }
    }

    /// Packs a block's queries, scaled by `width^-1/2`, as tiles read them.
    fn pack_queries(
        &self,
        queries: Rows<'_>,
        span: &Span,
        head: usize,
        first: usize,
        rows: usize,
        scratch: &mut Scratch,
    ) {
        let (width, group) = (self.heads.width, self.heads.group());
        let (tile_rows, groups) = (self.tile.rows(), self.groups(width));
        let scale = 1. / (width as f32).sqrt();
        scratch.queries.clear();
        scratch.queries.resize(rows.div_ceil(tile_rows) * tile_rows * groups, 0);
        scratch.row.resize(width, 0.);
        scratch.groups.resize(groups, 0);
        for row in 0..rows {
            let (query, member) = ((first + row) / group, (first + row) % group);
            let from = queries.head(span.queries.start + query, (head * group + member) * width, width);
            scratch.row.iter_mut().zip(from).for_each(|(to, value)| *to = value * scale);
            encode(self.numbers, &scratch.row, &mut scratch.groups);
            let tile = &mut scratch.queries[row / tile_rows * groups * tile_rows..][..groups * tile_rows];
            let places = tile.iter_mut().skip(row % tile_rows).step_by(tile_rows);
            places.zip(&scratch.groups).for_each(|(place, group)| *place = *group);
        }
    }
}

/// Turns a row's scores into weights relative to the largest score so far; those from `seen` on are zero. `state` is the
/// largest score and the sum of the weights, `out` the weighted values of the parts before.
#[inline(always)]
fn weigh(scores: &mut [f32], seen: usize, state: &mut (f32, f32), out: &mut [f32]) {
    let (scores, unseen) = scores.split_at_mut(seen);
    unseen.fill(0.);
    let (before, total) = *state;
    let highest = largest(scores);
    // Not `max`: a score that is not a number must stay one.
    let most = if highest > before { highest } else { before };
    if most == f32::NEG_INFINITY && seen == 0 {
        return;
    }
    let now = sum(scores, |score| {
        *score = exp(*score - most);
        *score
    });
    let kept = exp(before - most);
    if total != 0. && kept != 1. {
        out.iter_mut().for_each(|value| *value *= kept);
    }
    *state = (most, total * kept + now);
}
