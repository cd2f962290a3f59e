//! Building blocks that towers and backbones share: linear maps, norms, attention.

use candle_core::{DType, Result, Tensor};
use candle_nn::{LayerNorm, Linear, RmsNorm};

use super::Tensors;
use crate::LoadError;

/// A linear map with a bias: `weight` [outputs, inputs], `bias` [outputs].
pub(crate) fn linear(inputs: usize, outputs: usize, scope: &Tensors<'_>) -> std::result::Result<Linear, LoadError> {
    Ok(Linear::new(scope.get(&[outputs, inputs], "weight")?, Some(scope.get(&[outputs], "bias")?)))
}

/// A linear map without a bias: `weight` [outputs, inputs].
pub(crate) fn linear_no_bias(
    inputs: usize,
    outputs: usize,
    scope: &Tensors<'_>,
) -> std::result::Result<Linear, LoadError> {
    Ok(Linear::new(scope.get(&[outputs, inputs], "weight")?, None))
}

/// Layer norm over the last dimension.
pub(crate) fn layer_norm(size: usize, eps: f64, scope: &Tensors<'_>) -> std::result::Result<LayerNorm, LoadError> {
    Ok(LayerNorm::new(scope.get(&[size], "weight")?, scope.get(&[size], "bias")?, eps))
}

/// Root-mean-square norm over the last dimension; the mean is taken in f32.
pub(crate) fn rms_norm(size: usize, eps: f64, scope: &Tensors<'_>) -> std::result::Result<RmsNorm, LoadError> {
    Ok(RmsNorm::new(scope.get(&[size], "weight")?, eps))
}

/// Splits [batch, length, heads * head] into [batch, heads, length, head].
pub(crate) fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, length, width) = x.dims3()?;
    x.reshape((batch, length, heads, width / heads))?.transpose(1, 2)?.contiguous()
}

/// Bytes of attention scores that are held at once.
const SCORES_BYTES: usize = 256 << 20;

/// Scaled dot-product attention. `q` [batch, heads, queries, head]; `k` and `v` [batch, key-value heads, length, head],
/// each key-value head serving `heads / key-value heads` consecutive heads. Returns [batch, queries,
/// heads * head]. Of a causal one there are as many queries as keys.
///
/// The softmax is taken in f32. Queries go in blocks, so that the scores of a long document do not fill the memory.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool) -> Result<Tensor> {
    let (batch, heads, queries, head) = q.dims4()?;
    let length = k.dim(2)?;
    let (k, v) = (repeat_heads(k, heads)?, repeat_heads(v, heads)?);
    let keys = k.transpose(2, 3)?;
    let scale = 1. / (head as f64).sqrt();
    let block = (SCORES_BYTES / (batch * heads * length * size_of::<f32>())).clamp(16, length.max(16));
    let mut outputs = Vec::with_capacity(queries.div_ceil(block));
    for start in (0..queries).step_by(block) {
        let rows = block.min(queries - start);
        // Of a causal block, the keys after its last query are never looked at.
        let seen = if causal { start + rows } else { length };
        let (keys, values) = (keys.narrow(3, 0, seen)?.contiguous()?, v.narrow(2, 0, seen)?.contiguous()?);
        let scores = q.narrow(2, start, rows)?.contiguous()?.matmul(&keys)?;
        let mut scores = (scores.to_dtype(DType::F32)? * scale)?;
        if causal {
            scores = scores.broadcast_add(&causal_mask(start, rows, seen, q)?)?;
        }
        let weights = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?;
        outputs.push(weights.matmul(&values)?);
    }
    Tensor::cat(&outputs, 2)?.transpose(1, 2)?.reshape((batch, queries, heads * head))
}

/// [rows, seen]: zero where query `start + row` may look, minus infinity elsewhere.
fn causal_mask(start: usize, rows: usize, seen: usize, like: &Tensor) -> Result<Tensor> {
    let mask: Vec<f32> = (0..rows)
        .flat_map(|row| (0..seen).map(move |key| if key <= start + row { 0. } else { f32::NEG_INFINITY }))
        .collect();
    Tensor::from_vec(mask, (rows, seen), like.device())
}

fn repeat_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, kv, length, head) = x.dims4()?;
    if kv == heads {
        return Ok(x.clone());
    }
    x.unsqueeze(2)?.expand((batch, kv, heads / kv, length, head))?.reshape((batch, heads, length, head))
}

/// The last position of each sample: `x` [positions of all, width], gives [samples, width].
pub(crate) fn last_positions(x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let ends = lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end as u32 - 1)
    });
    x.index_select(&Tensor::from_iter(ends, x.device())?, 0)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn blocks_of_queries_do_not_change_attention() -> Result<()> {
        let shape = (1, 4, 33, 8);
        let tensor = |shape| Tensor::randn(0f32, 1., shape, &Device::Cpu);
        let (q, k, v) = (tensor(shape)?, tensor((1, 2, 33, 8))?, tensor((1, 2, 33, 8))?);
        for causal in [false, true] {
            let whole = attention(&q, &k, &v, causal)?;
            let last = attention(&q.narrow(2, 0, 33)?, &k, &v, causal)?;
            let first = attention(&q.narrow(2, 0, 5)?, &k.narrow(2, 0, 5)?, &v.narrow(2, 0, 5)?, causal)?;
            assert!(difference(&whole, &last)? < 1e-6);
            if causal {
                assert!(difference(&whole.narrow(1, 0, 5)?, &first)? < 1e-6);
            }
        }
        Ok(())
    }

    fn difference(a: &Tensor, b: &Tensor) -> Result<f32> {
        (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar()
    }
}
