//! Scaled dot-product attention (Vaswani et al., arXiv 1706.03762) over sequences that lie one behind the other.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor};
use gemm::Parallelism;
use rayon::prelude::*;
use tamis_models::simd::{exp, maximum, vectorise};

use super::is_ours;
use super::product::{Matrix, Target, product};
use super::values::{Values, result, shaped, slice};

/// Weights of attention that are kept for the gradient, in bytes an operation: more are computed once more.
const KEPT: usize = 32 << 20;
/// Weights that are computed at once: they stay in the second cache level until they are used.
const AT_ONCE: usize = 1 << 16;
/// Rows whose weights are computed at once, at least and at most.
const ROWS: (usize, usize) = (16, 128);

/// Which rows attend to which: groups of rows one behind the other. A group is a beginning that several sequences share, and the
/// rest of each of them. Every row attends to the beginning and to its own rest.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    groups: Arc<Vec<Group>>,
    /// Whether a row attends only to rows before it, and to itself.
    is_causal: bool,
}

#[derive(Debug, Clone)]
struct Group {
    rows: Range<usize>,
    beginning: usize,
    rests: Vec<usize>,
}

/// Some rows of a sequence and what they attend to, counted from the group's first row.
struct Span {
    rows: Range<usize>,
    /// How many rows of the beginning they attend to.
    beginning: usize,
    /// Which rows of their own sequence they attend to.
    own: Range<usize>,
    /// Where their weights lie among the group's of one head.
    weights: Range<usize>,
}

impl Span {
    fn keys(&self) -> usize {
        self.beginning + self.own.len()
    }
}

impl Group {
    fn spans(&self, is_causal: bool) -> Vec<Span> {
        let lengths = std::iter::once((0, self.beginning)).chain(self.rests.iter().map(|rest| (self.beginning, *rest)));
        let (mut first, mut weight) = (0, 0);
        let mut spans = vec![];
        for (beginning, length) in lengths {
            let end = first + length;
            let step = (AT_ONCE / (beginning + length).max(1)).clamp(ROWS.0, ROWS.1);
            for start in (first..end).step_by(step) {
                let rows = start..(start + step).min(end);
                let own = first..if is_causal { rows.end } else { end };
                let count = rows.len() * (beginning + own.len());
                spans.push(Span { rows, beginning, own, weights: weight..weight + count });
                weight += count;
            }
            first = end;
        }
        spans
    }
}

impl Groups {
    /// Each with the length of its beginning and of its rests.
    pub(crate) fn new(lengths: impl IntoIterator<Item = (usize, Vec<usize>)>, is_causal: bool) -> Self {
        let mut start = 0;
        let groups = lengths.into_iter().map(|(beginning, rests)| {
            let rows = start..start + beginning + rests.iter().sum::<usize>();
            start = rows.end;
            Group { rows, beginning, rests }
        });
        Self { groups: Arc::new(groups.collect()), is_causal }
    }

    /// `count` sequences of `length` rows, each row of which attends to all.
    pub(crate) fn whole(count: usize, length: usize) -> Self {
        Self::new((0..count).map(|_| (length, vec![])), false)
    }
}

/// Attention of queries q [rows, heads * head] over keys k and values v [rows, key-value heads * head], each key-value head
/// serving consecutive heads. Returns [rows, heads * head].
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, groups: &Groups, head: usize) -> Result<Tensor> {
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    let attention = Attention {
        groups: groups.clone(),
        head,
        heads: q.dim(1)? / head,
        kv_heads: k.dim(1)? / head,
        kept: OnceLock::new(),
    };
    if is_ours(&q) { q.apply_op3(&k, &v, attention) } else { attention.composed(&q, &k, &v) }
}

#[derive(Debug)]
struct Attention {
    groups: Groups,
    head: usize,
    heads: usize,
    kv_heads: usize,
    /// Weights of each group: [heads, weights].
    kept: OnceLock<Vec<Vec<f32>>>,
}

/// A group's queries, keys and values.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
}

impl Attention {
    fn widths(&self) -> (usize, usize) {
        (self.heads * self.head, self.kv_heads * self.head)
    }

    fn inputs<'a>(&self, group: &Group, q: &'a [f32], k: &'a [f32], v: &'a [f32]) -> Inputs<'a> {
        let (wide, narrow) = self.widths();
        let of = |values: &'a [f32], width: usize| &values[group.rows.start * width..group.rows.end * width];
        Inputs { q: of(q, wide), k: of(k, narrow), v: of(v, narrow) }
    }

    /// Some rows of one head.
    fn part<'a>(&self, values: &'a [f32], width: usize, head: usize, rows: Range<usize>) -> Matrix<'a> {
        Matrix::strided(&values[rows.start * width + head * self.head..], rows.len(), self.head, width)
    }

    /// The rows that a span attends to, in two parts: of the beginning, and its own.
    fn key_parts(span: &Span) -> [(Range<usize>, usize); 2] {
        [(0..span.beginning, 0), (span.own.clone(), span.beginning)]
    }

    /// The weights of a span's rows over what they attend to: [rows, keys].
    fn weigh(&self, inputs: Inputs<'_>, head: usize, span: &Span, weights: &mut [f32]) {
        let (wide, narrow) = self.widths();
        let (keys, scale) = (span.keys(), 1. / (self.head as f32).sqrt());
        let queries = self.part(inputs.q, wide, head, span.rows.clone());
        for (rows, column) in Self::key_parts(span).into_iter().filter(|(rows, _)| !rows.is_empty()) {
            let keys_of = self.part(inputs.k, narrow, head * self.kv_heads / self.heads, rows);
            let target = Target { values: &mut weights[column..], stride: keys, adds: false };
            product(target, queries, keys_of.t(), scale, Parallelism::None);
        }
        vectorise(
            #[inline(always)]
            || {
                for (number, row) in weights.chunks_exact_mut(keys).enumerate() {
                    let before = span.beginning + span.rows.start - span.own.start;
                    let seen = if self.groups.is_causal { before + number + 1 } else { keys };
                    let (seen, unseen) = row.split_at_mut(seen);
                    softmax(seen);
                    unseen.fill(0.);
                }
            },
        );
    }

    /// Whether all weights of these groups are kept.
    fn keeps(&self) -> bool {
        let of = |group: &Group| group.spans(self.groups.is_causal).last().map_or(0, |span| span.weights.end);
        self.groups.groups.iter().map(of).sum::<usize>() * self.heads * size_of::<f32>() <= KEPT
    }

    fn forward(&self, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
        let (wide, narrow) = self.widths();
        let mut out = vec![0.; q.len()];
        let (groups, keeps) = (&self.groups.groups, self.keeps());
        let outs = cut(&mut out, groups, wide);
        let weights = groups.par_iter().zip(outs).map(|(group, out)| {
            let (inputs, spans) = (self.inputs(group, q, k, v), group.spans(self.groups.is_causal));
            let (mut kept, mut weights) = (vec![], vec![]);
            for head in 0..self.heads {
                for span in &spans {
                    weights.clear();
                    weights.resize(span.weights.len(), 0.);
                    self.weigh(inputs, head, span, &mut weights);
                    for (rows, column) in Self::key_parts(span).into_iter().filter(|(rows, _)| !rows.is_empty()) {
                        let adds = column > 0;
                        let left = Matrix::strided(&weights[column..], span.rows.len(), rows.len(), span.keys());
                        let values = self.part(inputs.v, narrow, head * self.kv_heads / self.heads, rows);
                        let start = span.rows.start * wide + head * self.head;
                        let target = Target { values: &mut out[start..], stride: wide, adds };
                        product(target, left, values, 1., Parallelism::None);
                    }
                    if keeps {
                        kept.extend_from_slice(&weights);
                    }
                }
            }
            kept
        });
        let weights: Vec<Vec<f32>> = weights.collect();
        if keeps {
            let _ = self.kept.set(weights);
        }
        out
    }

    /// Gradients of queries, keys and values.
    fn backward(&self, q: &[f32], k: &[f32], v: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let (wide, narrow) = self.widths();
        let (mut of_q, mut of_k, mut of_v) = (vec![0.; q.len()], vec![0.; k.len()], vec![0.; v.len()]);
        let groups = &self.groups.groups;
        let outs = cut(&mut of_q, groups, wide).into_par_iter();
        let outs = outs.zip(cut(&mut of_k, groups, narrow)).zip(cut(&mut of_v, groups, narrow));
        groups.par_iter().enumerate().zip(outs).for_each(|((number, group), ((of_q, of_k), of_v))| {
            let (inputs, spans) = (self.inputs(group, q, k, v), group.spans(self.groups.is_causal));
            let grad = &grad[group.rows.start * wide..group.rows.end * wide];
            let mut kept = self.kept.get().map(|kept| kept[number].as_slice());
            let (mut computed, mut slopes) = (vec![], vec![]);
            for head in 0..self.heads {
                let kv_head = head * self.kv_heads / self.heads;
                for span in &spans {
                    let count = span.weights.len();
                    let weights = match kept.and_then(|kept| kept.split_at_checked(count)) {
                        Some((weights, rest)) => {
                            kept = Some(rest);
                            weights
                        }
                        None => {
                            computed.clear();
                            computed.resize(count, 0.);
                            self.weigh(inputs, head, span, &mut computed);
                            &computed
                        }
                    };
                    slopes.clear();
                    slopes.resize(count, 0.);
                    let keys = span.keys();
                    let of_out = self.part(grad, wide, head, span.rows.clone());
                    let parts = Self::key_parts(span).into_iter().filter(|(rows, _)| !rows.is_empty());
                    for (rows, column) in parts.clone() {
                        let values = self.part(inputs.v, narrow, kv_head, rows);
                        let target = Target { values: &mut slopes[column..], stride: keys, adds: false };
                        product(target, of_out, values.t(), 1., Parallelism::None);
                    }
                    softmax_slopes(weights, &mut slopes, keys, 1. / (self.head as f32).sqrt());
                    let queries = self.part(inputs.q, wide, head, span.rows.clone());
                    for (rows, column) in parts {
                        let slopes = Matrix::strided(&slopes[column..], span.rows.len(), rows.len(), keys);
                        let weights = Matrix::strided(&weights[column..], span.rows.len(), rows.len(), keys);
                        let place = |row: usize, width: usize, head: usize| row * width + head * self.head;
                        let to = &mut of_q[place(span.rows.start, wide, head)..];
                        let keys_of = self.part(inputs.k, narrow, kv_head, rows.clone());
                        let target = Target { values: to, stride: wide, adds: column > 0 };
                        product(target, slopes, keys_of, 1., Parallelism::None);
                        let to = &mut of_k[place(rows.start, narrow, kv_head)..];
                        let target = Target { values: to, stride: narrow, adds: true };
                        product(target, slopes.t(), queries, 1., Parallelism::None);
                        let to = &mut of_v[place(rows.start, narrow, kv_head)..];
                        let target = Target { values: to, stride: narrow, adds: true };
                        product(target, weights.t(), of_out, 1., Parallelism::None);
                    }
                }
            }
        });
        (of_q, of_k, of_v)
    }

    /// The same of candle's operations: all groups padded to the longest.
    fn composed(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let groups = &self.groups.groups;
        let longest = groups.iter().map(|group| group.rows.len()).max().unwrap_or(0);
        let (places, back, mask) = (self.places(longest), self.places_back(longest), self.mask(longest));
        let places = Tensor::new(places, q.device())?;
        let mask = Tensor::from_vec(mask, (groups.len(), 1, longest, longest), q.device())?;
        let heads = |x: &Tensor, heads: usize| {
            let x = x.index_select(&places, 0)?.reshape((groups.len(), longest, heads, self.head))?;
            let x = x.transpose(1, 2)?.contiguous()?;
            if heads == self.heads {
                return Ok(x);
            }
            let shape = (groups.len(), heads, self.heads / heads, longest, self.head);
            x.unsqueeze(2)?.expand(shape)?.reshape((groups.len(), self.heads, longest, self.head))
        };
        let (q, k, v) = (heads(q, self.heads)?, heads(k, self.kv_heads)?, heads(v, self.kv_heads)?);
        let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)?.to_dtype(DType::F32)? / (self.head as f64).sqrt())?;
        let scores = scores.broadcast_add(&mask)?;
        let exps = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let weights = exps.broadcast_div(&exps.sum_keepdim(D::Minus1)?)?.to_dtype(v.dtype())?;
        let out = weights.matmul(&v)?.transpose(1, 2)?;
        let out = out.reshape((groups.len() * longest, self.heads * self.head))?;
        out.index_select(&Tensor::new(back, out.device())?, 0)
    }

    /// The row at each place of the padded groups; any where there is none.
    fn places(&self, longest: usize) -> Vec<u32> {
        let of = |group: &Group| {
            let rows = group.rows.clone();
            (0..longest)
                .map(move |row| if row < rows.len() { (rows.start + row) as u32 } else { 0 })
                .collect::<Vec<_>>()
        };
        self.groups.groups.iter().flat_map(of).collect()
    }

    /// The place of each row.
    fn places_back(&self, longest: usize) -> Vec<u32> {
        let groups = self.groups.groups.iter().enumerate();
        groups
            .flat_map(|(number, group)| (0..group.rows.len()).map(move |row| (number * longest + row) as u32))
            .collect()
    }

    /// Zero where a row attends, minus infinity elsewhere; a place without a row attends to the first one.
    fn mask(&self, longest: usize) -> Vec<f32> {
        let mut mask = vec![f32::NEG_INFINITY; self.groups.groups.len() * longest * longest];
        for (group, mask) in self.groups.groups.iter().zip(mask.chunks_mut((longest * longest).max(1))) {
            mask.chunks_mut(longest).for_each(|row| row[0] = 0.);
            for span in group.spans(self.groups.is_causal) {
                for row in span.rows.clone() {
                    let own = span.own.start..if self.groups.is_causal { row + 1 } else { span.own.end };
                    let line = &mut mask[row * longest..][..longest];
                    line[0] = f32::NEG_INFINITY;
                    line[..span.beginning].fill(0.);
                    line[own].fill(0.);
                }
            }
        }
        mask
    }
}

/// A buffer's rows by group.
fn cut<'a>(mut values: &'a mut [f32], groups: &[Group], width: usize) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(groups.len());
    for group in groups {
        let (part, rest) = values.split_at_mut(group.rows.len() * width);
        parts.push(part);
        values = rest;
    }
    parts
}

#[inline(always)]
fn softmax(values: &mut [f32]) {
    let most = maximum(values);
    let mut total = 0f32;
    for value in values.iter_mut() {
        *value = exp(*value - most);
    }
    let mut lanes = [0f32; 16];
    let (whole, rest) = values.as_chunks::<16>();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += value);
    }
    total += lanes.iter().sum::<f32>() + rest.iter().sum::<f32>();
    let scale = 1. / total;
    values.iter_mut().for_each(|value| *value *= scale);
}

/// From gradients of the weights to those of the products of queries and keys: `w * (g - sum(w * g)) * scale`.
fn softmax_slopes(weights: &[f32], slopes: &mut [f32], keys: usize, scale: f32) {
    vectorise(
        #[inline(always)]
        || {
            for (weights, slopes) in weights.chunks_exact(keys).zip(slopes.chunks_exact_mut(keys)) {
                let mut lanes = [0f32; 16];
                let ((w, w_rest), (g, g_rest)) = (weights.as_chunks::<16>(), slopes.as_chunks::<16>());
                for (w, g) in w.iter().zip(g) {
                    (0..16).for_each(|lane| lanes[lane] += w[lane] * g[lane]);
                }
                let rest: f32 = w_rest.iter().zip(g_rest).map(|(w, g)| w * g).sum();
                let along = lanes.iter().sum::<f32>() + rest;
                for (slope, weight) in slopes.iter_mut().zip(weights) {
                    *slope = weight * (*slope - along) * scale;
                }
            }
        },
    );
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(result(self.forward(slice(q, lq)?, slice(k, lk)?, slice(v, lv)?), lq.shape()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (of_q, of_k, of_v) = self.backward(&Values::of(q)?, &Values::of(k)?, &Values::of(v)?, &Values::of(&grad)?);
        Ok((Some(shaped(of_q, q)?), Some(shaped(of_k, k)?), Some(shaped(of_v, v)?)))
    }
}
