//! The Qwen2 / Qwen3 backbone without its language-model head.
//!
//! Qwen2: arXiv 2407.10671; Qwen3: arXiv 2505.09388. Decoder blocks with grouped-query attention, rotary positions
//! (rotate-half), RMS norms and SwiGLU. Qwen2 has biases on queries, keys and values; Qwen3 has none, and norms each
//! head of queries and keys before the rotation.

use candle_core::{Result, Tensor};
use candle_nn::{Embedding, Linear, Module, RmsNorm};

use super::super::config::Config;
use super::Tensors;
use super::layers::{attention, last_positions, linear, linear_no_bias, rms_norm, split_heads};
use crate::LoadError;

/// Embeddings of samples one behind the other [positions, hidden] in; each sample's last state after the final norm
/// [samples, hidden] out.
#[derive(Debug)]
pub(crate) struct LanguageModel {
    embed_tokens: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head_dim: usize,
    rope_theta: f64,
}

impl LanguageModel {
    pub(crate) fn load(config: &Config, scope: &Tensors<'_>) -> std::result::Result<Self, LoadError> {
        let hidden = config.hidden_size;
        let embeddings = scope.pp("embed_tokens").get(&[config.vocab_size, hidden], "weight")?;
        let layers = scope.pp("layers");
        Ok(Self {
            embed_tokens: Embedding::new(embeddings, hidden),
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::load(config, &layers.pp(i)))
                .collect::<std::result::Result<_, _>>()?,
            norm: rms_norm(hidden, config.rms_norm_eps, &scope.pp("norm"))?,
            head_dim: config.head_dim(),
            rope_theta: config.rope_theta(),
        })
    }

    /// Embeddings of token ids: [ids, hidden].
    pub(crate) fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        self.embed_tokens.forward(&Tensor::new(ids, self.embed_tokens.embeddings().device())?)
    }

    /// States of the samples' last positions, `lengths` positions each.
    pub(crate) fn forward(&self, embeddings: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let rotation = Rotation::new(longest, self.head_dim, self.rope_theta, embeddings)?;
        let Some((last, layers)) = self.layers.split_last() else {
            return self.norm.forward(&last_positions(embeddings, lengths)?);
        };
        let mut x = embeddings.clone();
        for layer in layers {
            x = layer.forward(&x, lengths, &rotation)?;
        }
        // Of the last layer only the samples' last positions are wanted.
        self.norm.forward(&last.last(&x, lengths, &rotation)?)
    }
}

/// Cosines and sines of the rotary position embedding: [length, head / 2] each.
#[derive(Debug)]
struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    fn new(length: usize, head: usize, theta: f64, like: &Tensor) -> Result<Self> {
        // As the reference: wavelengths and angles in f32.
        let frequencies: Vec<f32> =
            (0..head).step_by(2).map(|i| 1. / (theta as f32).powf(i as f32 / head as f32)).collect();
        let angles: Vec<f32> = (0..length).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f)).collect();
        let angles = Tensor::from_vec(angles, (length, head / 2), like.device())?;
        Ok(Self { cos: angles.cos()?.to_dtype(like.dtype())?, sin: angles.sin()?.to_dtype(like.dtype())? })
    }

    /// Rotates heads [1, heads, length, head] whose first position is `from`.
    fn apply(&self, x: &Tensor, from: usize) -> Result<Tensor> {
        let length = x.dim(2)?;
        candle_nn::rotary_emb::rope(x, &self.cos.narrow(0, from, length)?, &self.sin.narrow(0, from, length)?)
    }
}

#[derive(Debug)]
struct Layer {
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

impl Layer {
    fn load(config: &Config, scope: &Tensors<'_>) -> std::result::Result<Self, LoadError> {
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        Ok(Self {
            input_layernorm: rms_norm(hidden, eps, &scope.pp("input_layernorm"))?,
            self_attn: Attention::load(config, &scope.pp("self_attn"))?,
            post_attention_layernorm: rms_norm(hidden, eps, &scope.pp("post_attention_layernorm"))?,
            mlp: Mlp::load(config, &scope.pp("mlp"))?,
        })
    }

    fn forward(&self, x: &Tensor, lengths: &[usize], rotation: &Rotation) -> Result<Tensor> {
        let normed = self.input_layernorm.forward(x)?;
        self.finish(&(x + self.self_attn.forward(&normed, &normed, lengths, rotation)?)?)
    }

    /// The same of each sample's last position alone.
    fn last(&self, x: &Tensor, lengths: &[usize], rotation: &Rotation) -> Result<Tensor> {
        let last = last_positions(x, lengths)?;
        let queries = self.input_layernorm.forward(&last)?;
        let attended = self.self_attn.forward(&queries, &self.input_layernorm.forward(x)?, lengths, rotation)?;
        self.finish(&(last + attended)?)
    }

    fn finish(&self, x: &Tensor) -> Result<Tensor> {
        x + self.mlp.forward(&self.post_attention_layernorm.forward(x)?)?
    }
}

#[derive(Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    /// Qwen3's norms of queries and keys.
    norms: Option<(RmsNorm, RmsNorm)>,
    heads: usize,
    kv_heads: usize,
}

impl Attention {
    fn load(config: &Config, scope: &Tensors<'_>) -> std::result::Result<Self, LoadError> {
        let (hidden, head, eps) = (config.hidden_size, config.head_dim(), config.rms_norm_eps);
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let project = |name: &str, outputs: usize| match config.is_qwen3() {
            true => linear_no_bias(hidden, outputs, &scope.pp(name)),
            false => linear(hidden, outputs, &scope.pp(name)),
        };
        let norms = match config.is_qwen3() {
            true => Some((rms_norm(head, eps, &scope.pp("q_norm"))?, rms_norm(head, eps, &scope.pp("k_norm"))?)),
            false => None,
        };
        Ok(Self {
            q_proj: project("q_proj", heads * head)?,
            k_proj: project("k_proj", kv_heads * head)?,
            v_proj: project("v_proj", kv_heads * head)?,
            o_proj: linear_no_bias(heads * head, hidden, &scope.pp("o_proj"))?,
            norms,
            heads,
            kv_heads,
        })
    }

    /// Each sample's last queries, all or one, over its `lengths` keys.
    fn forward(&self, queries: &Tensor, keys: &Tensor, lengths: &[usize], rotation: &Rotation) -> Result<Tensor> {
        let (q, k, v) = (self.q_proj.forward(queries)?, self.k_proj.forward(keys)?, self.v_proj.forward(keys)?);
        let is_all = q.dim(0)? == k.dim(0)?;
        let mut outputs = Vec::with_capacity(lengths.len());
        let (mut query, mut key) = (0, 0);
        for length in lengths.iter().copied() {
            let count = if is_all { length } else { 1 };
            let heads = |x: &Tensor, from, count, heads| split_heads(&x.narrow(0, from, count)?.unsqueeze(0)?, heads);
            let mut q = heads(&q, query, count, self.heads)?;
            let mut k = heads(&k, key, length, self.kv_heads)?;
            let v = heads(&v, key, length, self.kv_heads)?;
            if let Some((q_norm, k_norm)) = &self.norms {
                (q, k) = (q_norm.forward(&q)?, k_norm.forward(&k)?);
            }
            let (q, k) = (rotation.apply(&q, length - count)?, rotation.apply(&k, 0)?);
            outputs.push(attention(&q, &k, &v, is_all)?.squeeze(0)?);
            (query, key) = (query + count, key + length);
        }
        self.o_proj.forward(&Tensor::cat(&outputs, 0)?)
    }
}

#[derive(Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl Mlp {
    fn load(config: &Config, scope: &Tensors<'_>) -> std::result::Result<Self, LoadError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            gate_proj: linear_no_bias(hidden, inner, &scope.pp("gate_proj"))?,
            up_proj: linear_no_bias(hidden, inner, &scope.pp("up_proj"))?,
            down_proj: linear_no_bias(inner, hidden, &scope.pp("down_proj"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down_proj.forward(&(self.gate_proj.forward(x)?.silu()? * self.up_proj.forward(x)?)?)
    }
}
