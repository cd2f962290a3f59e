//! From vision features to image tokens: adaptive average pooling, then a two-layer MLP with exact GELU.

use candle_core::{Device, Result, Tensor};
use candle_nn::{Linear, Module};

use super::config::{Config, VisionConfig};
use super::layers::{linear, pooling_matrix};
use crate::LoadError;
use crate::checkpoint::Scope;

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
        device: &Device,
        dtype: candle_core::DType,
        scope: &Scope<'_>,
    ) -> std::result::Result<Self, LoadError> {
        let (from, to) = (vision.side(), config.mm_num_image_tokens.isqrt());
        let pooling = Tensor::from_vec(pooling_matrix(from, to), (to * to, from * from), device)
            .and_then(|t| t.to_dtype(dtype))
            .map_err(|source| LoadError::Candle { path: "mm_projector".into(), source })?;
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
