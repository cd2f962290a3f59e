//! The SigLIP vision tower.
//!
//! Zhai et al., "Sigmoid Loss for Language Image Pre-Training", arXiv 2303.15343. A vision transformer without a class
//! token: patches through a linear map, learned positions, pre-norm blocks with tanh-GELU. The feature is the last
//! block's output *before* `post_layernorm`; the pooling head is never run.

use candle_core::{Result, Tensor};
use candle_nn::{LayerNorm, Linear, Module};

use super::super::config::VisionConfig;
use super::layers::{attention, layer_norm, linear, split_heads};
use super::{Tensors, build};
use crate::LoadError;

/// Patches [images, patches, 3 * patch * patch] in, features [images, patches, hidden] out.
#[derive(Debug)]
pub(crate) struct VisionTower {
    patch_embedding: Linear,
    /// [patches, hidden]
    position_embedding: Tensor,
    blocks: Vec<Block>,
}

impl VisionTower {
    pub(crate) fn load(config: &VisionConfig, scope: &Tensors<'_>) -> std::result::Result<Self, LoadError> {
        let (hidden, patch) = (config.hidden_size, config.patch_size);
        let embeddings = scope.pp("embeddings");
        let kernel = embeddings.pp("patch_embedding");
        let weight = kernel.get(&[hidden, config.num_channels, patch, patch], "weight")?;
        let inputs = config.num_channels * patch * patch;
        let weight = weight.reshape((hidden, inputs)).map_err(|source| build("patch_embedding.weight", source))?;
        let patch_embedding = Linear::new(weight, Some(kernel.get(&[hidden], "bias")?));
        let positions = config.side() * config.side();
        let position_embedding = embeddings.pp("position_embedding").get(&[positions, hidden], "weight")?;
        let layers = scope.pp("encoder").pp("layers");
        let blocks = (0..config.num_hidden_layers)
            .map(|i| Block::load(config, &layers.pp(i)))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self { patch_embedding, position_embedding, blocks })
    }

    pub(crate) fn forward(&self, patches: &Tensor) -> Result<Tensor> {
        let mut x = self.patch_embedding.forward(patches)?.broadcast_add(&self.position_embedding)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        Ok(x)
    }
}

#[derive(Debug)]
struct Block {
    layer_norm1: LayerNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    layer_norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
}

impl Block {
    fn load(config: &VisionConfig, scope: &Tensors<'_>) -> std::result::Result<Self, LoadError> {
        let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let attention = scope.pp("self_attn");
        let mlp = scope.pp("mlp");
        Ok(Self {
            layer_norm1: layer_norm(hidden, eps, &scope.pp("layer_norm1"))?,
            q_proj: linear(hidden, hidden, &attention.pp("q_proj"))?,
            k_proj: linear(hidden, hidden, &attention.pp("k_proj"))?,
            v_proj: linear(hidden, hidden, &attention.pp("v_proj"))?,
            out_proj: linear(hidden, hidden, &attention.pp("out_proj"))?,
            layer_norm2: layer_norm(hidden, eps, &scope.pp("layer_norm2"))?,
            fc1: linear(hidden, inner, &mlp.pp("fc1"))?,
            fc2: linear(inner, hidden, &mlp.pp("fc2"))?,
            heads: config.num_attention_heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let h = self.layer_norm1.forward(x)?;
        let q = split_heads(&self.q_proj.forward(&h)?, self.heads)?;
        let k = split_heads(&self.k_proj.forward(&h)?, self.heads)?;
        let v = split_heads(&self.v_proj.forward(&h)?, self.heads)?;
        let x = (x + self.out_proj.forward(&attention(&q, &k, &v, false)?)?)?;
        // candle's `gelu` is the tanh approximation, `gelu_erf` the exact one.
        let h = self.fc1.forward(&self.layer_norm2.forward(&x)?)?.gelu()?;
        x + self.fc2.forward(&h)?
    }
}
