//! From vision features to image tokens: adaptive average pooling, then a two-layer MLP with exact GELU.

use candle_core::{Result, Tensor};
use tamis_models::unifilter::{Config, VisionConfig, bins};

use super::parameters::{Initial, Loader, Parameters};
use crate::TrainingError;
use crate::ops::{gelu_erf, linear};

const PLACE: &str = "model.mm_projector.mlp_projector";

/// Adds the MLP's tensors.
pub(crate) fn load(
    config: &Config,
    vision: &VisionConfig,
    loader: &mut Loader<'_>,
) -> std::result::Result<(), TrainingError> {
    let (hidden, features) = (config.hidden_size, vision.hidden_size);
    for (number, inputs) in [(0, features), (2, hidden)] {
        // As torch's Linear begins, in deviation: uniform up to 1 / sqrt(inputs).
        let deviation = (1. / (3. * inputs as f64)).sqrt();
        loader.add(&format!("{PLACE}.{number}.weight"), &[hidden, inputs], Initial::Normal(deviation))?;
        loader.add(&format!("{PLACE}.{number}.bias"), &[hidden], Initial::Zeros)?;
    }
    Ok(())
}

/// Features [images * patches, width], averaged: [images * tokens, width].
pub(crate) fn pool(config: &Config, vision: &VisionConfig, features: &Tensor) -> Result<Tensor> {
    let (side, tokens) = (vision.side(), config.mm_num_image_tokens);
    let patches = side * side;
    let mut weights = vec![0f32; tokens * patches];
    for (bin, weights) in bins(side, tokens.isqrt()).iter().zip(weights.chunks_mut(patches)) {
        bin.patches(side).for_each(|patch| weights[patch] = 1. / bin.len() as f32);
    }
    let weights = Tensor::from_vec(weights, (tokens, patches), features.device())?.to_dtype(features.dtype())?;
    let (rows, width) = features.dims2()?;
    let pooled = weights.broadcast_matmul(&features.reshape((rows / patches, patches, width))?)?;
    pooled.reshape((rows / patches * tokens, width))
}

/// Pooled features [images * tokens, width] to embeddings [images * tokens, hidden].
pub(crate) fn project(parameters: &Parameters, pooled: &Tensor) -> Result<Tensor> {
    let map = |x: &Tensor, number: usize| {
        let weight = parameters.get(&format!("{PLACE}.{number}.weight"))?;
        linear(x, &weight, Some(&parameters.get(&format!("{PLACE}.{number}.bias"))?))
    };
    map(&gelu_erf(&map(pooled, 0)?)?, 2)
}
