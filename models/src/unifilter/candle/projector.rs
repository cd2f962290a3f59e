//! From vision features to image tokens: adaptive average pooling, then a two-layer MLP with exact GELU.

use candle_core::{Result, Tensor};
use candle_nn::{Linear, Module};

use super::super::config::{Config, VisionConfig};
use super::super::pooling::bins;
use super::layers::linear;
use super::{Tensors, build};
use crate::LoadError;

/// Features [images, patches, vision hidden] in, embeddings [images, tokens, language hidden] out.
#[derive(Debug)]
pub(crate) struct Projector {
    /// [tokens, patches]
    pooling: Tensor,
    first: Linear,
    second: Linear,
}

impl Projector {
    pub(crate) fn load(
        config: &Config,
        vision: &VisionConfig,
        scope: &Tensors<'_>,
    ) -> std::result::Result<Self, LoadError> {
        let pooling = pooling_matrix(vision.side(), config.mm_num_image_tokens.isqrt(), scope)
            .map_err(|source| build("mm_projector", source))?;
        let mlp = scope.pp("mlp_projector");
        Ok(Self {
            pooling,
            first: linear(config.mm_hidden_size, config.hidden_size, &mlp.pp(0))?,
            second: linear(config.hidden_size, config.hidden_size, &mlp.pp(2))?,
        })
    }

    pub(crate) fn forward(&self, features: &Tensor) -> Result<Tensor> {
        let pooled = self.pooling.broadcast_matmul(features)?;
        self.second.forward(&self.first.forward(&pooled)?.gelu_erf()?)
    }
}

/// Adaptive average pooling of a square grid as a matrix: [to * to, from * from].
fn pooling_matrix(from: usize, to: usize, tensors: &Tensors<'_>) -> Result<Tensor> {
    let mut matrix = vec![0f32; to * to * from * from];
    for (bin, line) in bins(from, to).iter().zip(matrix.chunks_mut(from * from)) {
        bin.patches(from).for_each(|patch| line[patch] = 1. / bin.len() as f32);
    }
    Tensor::from_vec(matrix, (to * to, from * from), tensors.device)?.to_dtype(tensors.dtype)
}
