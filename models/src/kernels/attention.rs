//! Attention over packed sequences: no padding, and no more scores in memory than a block's.
//!
//! A block of queries goes over the keys part by part, keeping the largest score and the sum of the weights so far (Dao
//! et al., "FlashAttention", arXiv 2205.14135). Sequences may share the keys of a common beginning.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::activation::exp2;
use super::isa::Isa;
use super::matmul::{add, cut};
use super::norm::fill;
use super::operand::{Operand, encode};
use super::short::to_bf16;
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

/// Keys that a panel of queries looks at together, at most.
const KEYS: usize = 1008;

/// A task's memory, kept by its thread. Its scores are turned: a row for each key, a column for each query.
#[derive(Debug, Default)]
struct Scratch {
    /// [groups of a head][query]
    queries: Vec<u32>,
    /// [keys][query]
    scores: Vec<f32>,
    /// [groups of keys][query]
    weights: Vec<u32>,
    /// [values of a head][query]
    mixed: Vec<f32>,
    row: Vec<f32>,
    groups: Vec<u32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Keys and values of one head as left sides.
struct Packed {
    /// [tiles of keys][groups of a head][key]
    keys: Vec<u32>,
    /// [parts of keys][tiles of a head's values][groups of keys][value]
    values: Vec<u32>,
}

impl Attention {
    /// In bf16 if the family multiplies it and `numbers` are bf16, otherwise in f32.
    pub(crate) fn new(isa: Isa, numbers: Numbers, heads: Heads) -> Self {
        let numbers = if numbers == Numbers::Bf16 && isa.has_bf16() { numbers } else { Numbers::F32 };
        Self { isa, numbers, tile: Tile::new(isa, numbers), heads }
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
            let packed = self.isa.vectorise(
                #[inline(always)]
                || self.pack(keys_values, span, head),
            );
            let rows = self.tile.columns();
            out.par_chunks_mut(rows * width).enumerate().for_each(|(panel, out)| {
                let unit = Unit { attention: self, queries, span, head, packed: &packed };
                SCRATCH.with_borrow_mut(|scratch| unit.panel(panel * rows, scratch, out));
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

    /// Groups of `values` numbers, in whole steps of the tile.
    fn groups(&self, values: usize) -> usize {
        values.div_ceil(self.numbers.per_group()).next_multiple_of(self.tile.step())
    }

    /// Keys of a part: whole tiles of them, and whole groups in whole steps.
    fn keys_at_once(&self) -> usize {
        let keys = KEYS / self.tile.rows() * self.tile.rows();
        debug_assert_eq!(self.groups(keys) * self.numbers.per_group(), keys);
        keys
    }

    #[inline(always)]
    fn pack(&self, keys_values: Rows<'_>, span: &Span, head: usize) -> Packed {
        let Heads { key_value, width, .. } = self.heads;
        let (tile, per_group) = (&self.tile, self.numbers.per_group());
        let rows: Vec<usize> = span.key_rows().collect();
        let (groups, used) = (self.groups(width), width.div_ceil(per_group));
        let mut keys = vec![0; rows.len().div_ceil(tile.rows()) * groups * tile.rows()];
        let mut lines = vec![0; tile.rows() * used];
        for (rows, keys) in rows.chunks(tile.rows()).zip(keys.chunks_exact_mut(groups * tile.rows())) {
            for (row, line) in rows.iter().zip(lines.chunks_exact_mut(used)) {
                encode(self.numbers, keys_values.head(*row, head * width, width), line);
            }
            tile.pack(keys, |key| if key < rows.len() { &lines[key * used..][..used] } else { &[] });
        }
        let tiles = width.div_ceil(tile.rows());
        let mut values = vec![
            0;
            rows.chunks(self.keys_at_once()).map(|part| self.groups(part.len())).sum::<usize>()
                * tiles
                * tile.rows()
        ];
        let mut rest = values.as_mut_slice();
        // A group of keys' values.
        let mut line = vec![0; width];
        for part in rows.chunks(self.keys_at_once()) {
            let size = self.groups(part.len()) * tile.rows();
            let (values, after) = rest.split_at_mut(tiles * size);
            rest = after;
            for (group, rows) in part.chunks(per_group).enumerate() {
                let of = |row: usize| keys_values.head(row, (key_value + head) * width, width);
                match (self.numbers, rows) {
                    (Numbers::Bf16, &[first, second]) => {
                        for ((to, first), second) in line.iter_mut().zip(of(first)).zip(of(second)) {
                            *to = to_bf16(*first) | to_bf16(*second) << 16;
                        }
                    }
                    (Numbers::Bf16, _) => {
                        line.iter_mut().zip(of(rows[0])).for_each(|(to, value)| *to = to_bf16(*value))
                    }
                    _ => line.iter_mut().zip(of(rows[0])).for_each(|(to, value)| *to = value.to_bits()),
                }
                for (line, values) in line.chunks(tile.rows()).zip(values.chunks_exact_mut(size)) {
                    scatter(line, values, tile.place(0, group), tile.step());
                }
            }
        }
        Packed { keys, values }
    }
}

/// Writes groups `stride` apart, from `first` on.
#[inline(always)]
fn scatter(groups: &[u32], to: &mut [u32], first: usize, stride: usize) {
    to.iter_mut().skip(first).step_by(stride).zip(groups).for_each(|(to, group)| *to = *group);
}

/// One head's keys, and who looks at them.
struct Unit<'a> {
    attention: &'a Attention,
    queries: Rows<'a>,
    span: &'a Span,
    head: usize,
    packed: &'a Packed,
}

impl Unit<'_> {
    /// A panel of queries from `first` on; each of a unit's rows is a query and one of the heads that share the keys.
    /// `out` [rows, width].
    fn panel(&self, first: usize, scratch: &mut Scratch, out: &mut [f32]) {
        match self.attention.tile.columns() {
            8 => self.panel_of::<8>(first, scratch, out),
            16 => self.panel_of::<16>(first, scratch, out),
            _ => self.panel_of::<32>(first, scratch, out),
        }
    }

    fn panel_of<const N: usize>(&self, first: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let Attention { isa, numbers, tile, heads } = *self.attention;
        let (width, group) = (heads.width, heads.group());
        let rows = out.len() / width;
        let limits: [usize; N] = std::array::from_fn(|lane| self.span.limit((first + lane.min(rows - 1)) / group));
        let all = limits.iter().copied().max().unwrap_or(0);
        isa.vectorise(
            #[inline(always)]
            || self.pack_queries(first, rows, scratch),
        );
        let head_groups = self.attention.groups(width);
        let mut state = State::<N>::new();
        scratch.mixed.clear();
        scratch.mixed.resize(width * N, 0.);
        let mut sums = [0f32; MOST];
        for start in (0..all).step_by(self.attention.keys_at_once()) {
            let keys = self.attention.keys_at_once().min(all - start);
            scratch.scores.resize(keys.next_multiple_of(tile.rows()) * N, 0.);
            let tiles = start * head_groups..(start + keys).next_multiple_of(tile.rows()) * head_groups;
            let tiles = self.packed.keys[tiles].chunks_exact(head_groups * tile.rows());
            for (left, scores) in tiles.zip(scratch.scores.chunks_exact_mut(tile.rows() * N)) {
                tile.multiply(left, &scratch.queries, None, scores);
            }
            let scores = &scratch.scores.as_chunks::<N>().0[..keys];
            let groups = self.attention.groups(keys);
            scratch.weights.resize(groups * N, 0);
            let seen = limits.map(|limit| limit.saturating_sub(start).min(keys));
            let weights = scratch.weights.as_chunks_mut::<N>().0;
            let kept = isa.vectorise(
                #[inline(always)]
                || match isa.fuses() {
                    false => state.weigh::<false>(scores, &seen, numbers, weights),
                    true => state.weigh::<true>(scores, &seen, numbers, weights),
                },
            );
            // Values, weighted.
            let part_groups = self.attention.groups(self.attention.keys_at_once().min(self.span.keys() - start));
            let tiles = width.div_ceil(tile.rows());
            let part = &self.packed.values[self.attention.groups(start) * tiles * tile.rows()..];
            for (place, mixed) in scratch.mixed.chunks_mut(tile.rows() * N).enumerate() {
                let left = &part[place * part_groups * tile.rows()..][..groups * tile.rows()];
                tile.multiply(left, &scratch.weights, None, &mut sums);
                let lanes = mixed.as_chunks_mut::<N>().0.iter_mut().zip(sums.as_chunks::<N>().0);
                for (mixed, sums) in lanes {
                    for lane in 0..N {
                        mixed[lane] = mixed[lane] * kept[lane] + sums[lane];
                    }
                }
            }
        }
        isa.vectorise(
            #[inline(always)]
            || {
                let mixed = scratch.mixed.as_chunks_mut::<N>().0;
                for mixed in &mut *mixed {
                    mixed.iter_mut().zip(&state.total).for_each(|(mixed, total)| *mixed /= total);
                }
                for (lane, out) in out.chunks_exact_mut(width).enumerate() {
                    out.iter_mut().zip(&*mixed).for_each(|(out, mixed)| *out = mixed[lane]);
                }
            },
        );
    }

    /// Packs a panel's queries, scaled by `width^-1/2` and to powers of two, as tiles read them.
    #[inline(always)]
    fn pack_queries(&self, first: usize, rows: usize, scratch: &mut Scratch) {
        let Attention { numbers, tile, heads, .. } = *self.attention;
        let (width, group) = (heads.width, heads.group());
        let groups = self.attention.groups(width);
        let scale = std::f32::consts::LOG2_E / (width as f32).sqrt();
        scratch.queries.clear();
        scratch.queries.resize(tile.columns() * groups, 0);
        scratch.row.resize(width, 0.);
        scratch.groups.resize(width.div_ceil(numbers.per_group()), 0);
        for row in 0..rows {
            let (query, member) = ((first + row) / group, (first + row) % group);
            let from = self.queries.head(self.span.queries.start + query, (self.head * group + member) * width, width);
            scratch.row.iter_mut().zip(from).for_each(|(to, value)| *to = value * scale);
            encode(numbers, &scratch.row, &mut scratch.groups);
            scatter(&scratch.groups, &mut scratch.queries, row, tile.columns());
        }
    }
}

/// Of each query: the largest score so far, and the sum of the weights relative to it.
struct State<const N: usize> {
    most: [f32; N],
    total: [f32; N],
}

impl<const N: usize> State<N> {
    fn new() -> Self {
        Self { most: [f32::NEG_INFINITY; N], total: [0.; N] }
    }

    /// Turns scores [keys][query], powers of two, into weights [groups of keys][query]; a query sees the first `seen` keys.
    /// Gives what the weights so far are to be multiplied by.
    #[inline(always)]
    fn weigh<const FUSED: bool>(
        &mut self,
        scores: &[[f32; N]],
        seen: &[usize; N],
        numbers: Numbers,
        weights: &mut [[u32; N]],
    ) -> [f32; N] {
        // Keys that all queries see, and those beyond.
        let by_all = seen.iter().copied().min().unwrap_or(0);
        let (clear, partial) = scores.split_at(by_all);
        let mut most = self.most;
        for scores in clear {
            larger(&mut most, scores);
        }
        for (key, scores) in partial.iter().enumerate() {
            larger(&mut most, &std::array::from_fn(|lane| hidden(scores[lane], by_all + key, seen[lane])));
        }
        let mut total = [0f32; N];
        match numbers {
            Numbers::F32 => {
                let (clear_weights, partial_weights) = weights.split_at_mut(by_all);
                for (scores, weights) in clear.iter().zip(clear_weights) {
                    let found = relative::<FUSED, N>(scores, &most);
                    add(&mut total, &found);
                    *weights = found.map(f32::to_bits);
                }
                for ((key, scores), weights) in partial.iter().enumerate().zip(partial_weights) {
                    let found = relative::<FUSED, N>(scores, &most);
                    let found = std::array::from_fn(|lane| if by_all + key < seen[lane] { found[lane] } else { 0. });
                    add(&mut total, &found);
                    *weights = found.map(f32::to_bits);
                }
            }
            _ => {
                for (pair, (scores, weights)) in scores.chunks(2).zip(&mut *weights).enumerate() {
                    let mut pair_of = [[0f32; N]; 2];
                    for (place, (scores, to)) in scores.iter().zip(&mut pair_of).enumerate() {
                        let key = 2 * pair + place;
                        *to = relative::<FUSED, N>(scores, &most);
                        if key >= by_all {
                            *to = std::array::from_fn(|lane| if key < seen[lane] { to[lane] } else { 0. });
                        }
                        add(&mut total, to);
                    }
                    let [first, second] = pair_of;
                    *weights = std::array::from_fn(|lane| to_bf16(first[lane]) | to_bf16(second[lane]) << 16);
                }
                // Up to a whole step.
                weights[scores.len().div_ceil(2)..].fill([0; N]);
            }
        }
        let mut kept = [0f32; N];
        for lane in 0..N {
            kept[lane] = if self.total[lane] == 0. { 0. } else { exp2::<FUSED>(self.most[lane] - most[lane]) };
            self.total[lane] = self.total[lane] * kept[lane] + total[lane];
        }
        self.most = most;
        kept
    }
}

#[inline(always)]
fn larger<const N: usize>(most: &mut [f32; N], scores: &[f32; N]) {
    for lane in 0..N {
        // Not `max`: a score that is not a number is found in the sum of the weights.
        most[lane] = if scores[lane] > most[lane] { scores[lane] } else { most[lane] };
    }
}

#[inline(always)]
fn hidden(score: f32, key: usize, seen: usize) -> f32 {
    if key < seen { score } else { f32::NEG_INFINITY }
}

/// Weights relative to the largest score that a query sees; of a key that it does not see, anything.
#[inline(always)]
fn relative<const FUSED: bool, const N: usize>(scores: &[f32; N], most: &[f32; N]) -> [f32; N] {
    let mut weights = [0f32; N];
    for lane in 0..N {
        weights[lane] = exp2::<FUSED>(scores[lane] - most[lane]);
    }
    weights
}
