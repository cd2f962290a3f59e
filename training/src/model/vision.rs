//! The SigLIP vision tower (Zhai et al., arXiv 2303.15343), with gradients.

use candle_core::{Result, Tensor};
use tamis_models::unifilter::VisionConfig;

use super::parameters::{Initial, Loader, Parameters, TOWER};
use crate::TrainingError;
use crate::ops::{Groups, attention, gelu_tanh, layer_norm, linear};

/// Names of a linear map's tensors.
fn names(place: &str) -> (String, String) {
    (format!("{place}.weight"), format!("{place}.bias"))
}

/// Adds the tower's tensors.
pub(crate) fn load(config: &VisionConfig, loader: &mut Loader<'_>) -> std::result::Result<(), TrainingError> {
    let (hidden, inner, patch) = (config.hidden_size, config.intermediate_size, config.patch_size);
    let deep = 0.02 / ((2 * config.num_hidden_layers.max(1)) as f64).sqrt();
    let mut map = |place: &str, outputs: &[usize], deviation: f64| {
        let (weight, bias) = names(&format!("{TOWER}{place}"));
        loader.add(&weight, outputs, Initial::Normal(deviation))?;
        loader.add(&bias, &outputs[..1], Initial::Zeros)
    };
    map("embeddings.patch_embedding", &[hidden, config.num_channels, patch, patch], 0.02)?;
    for layer in 0..config.num_hidden_layers {
        let place = format!("encoder.layers.{layer}");
        for name in ["q_proj", "k_proj", "v_proj"] {
            map(&format!("{place}.self_attn.{name}"), &[hidden, hidden], 0.02)?;
        }
        map(&format!("{place}.self_attn.out_proj"), &[hidden, hidden], deep)?;
        map(&format!("{place}.mlp.fc1"), &[inner, hidden], 0.02)?;
        map(&format!("{place}.mlp.fc2"), &[hidden, inner], deep)?;
    }
    for layer in 0..config.num_hidden_layers {
        for name in ["layer_norm1", "layer_norm2"] {
            let (weight, bias) = names(&format!("{TOWER}encoder.layers.{layer}.{name}"));
            loader.add(&weight, &[hidden], Initial::Ones)?;
            loader.add(&bias, &[hidden], Initial::Zeros)?;
        }
    }
    let positions = config.side() * config.side();
    loader.add(&format!("{TOWER}embeddings.position_embedding.weight"), &[positions, hidden], Initial::Normal(0.02))
}

/// Patches of images one behind the other [images * patches, 3 * patch * patch].
pub(crate) fn embed(config: &VisionConfig, parameters: &Parameters, patches: &Tensor) -> Result<Tensor> {
    let (weight, bias) = names(&format!("{TOWER}embeddings.patch_embedding"));
    let weight = parameters.get(&weight)?;
    let weight = weight.reshape((config.hidden_size, weight.elem_count() / config.hidden_size))?;
    let x = linear(patches, &weight, Some(&parameters.get(&bias)?))?;
    let positions = parameters.get(&format!("{TOWER}embeddings.position_embedding.weight"))?;
    let (count, hidden) = (positions.dim(0)?, config.hidden_size);
    x.reshape((x.dim(0)? / count, count, hidden))?.broadcast_add(&positions)?.reshape(((), hidden))
}

/// One block over states [images * patches, hidden].
pub(crate) fn block(
    config: &VisionConfig,
    parameters: &Parameters,
    layer: usize,
    x: &Tensor,
    groups: &Groups,
) -> Result<Tensor> {
    let place = format!("{TOWER}encoder.layers.{layer}");
    let map = |x: &Tensor, name: &str| {
        let (weight, bias) = names(&format!("{place}.{name}"));
        linear(x, &parameters.get(&weight)?, Some(&parameters.get(&bias)?))
    };
    let norm = |x: &Tensor, name: &str| {
        let (weight, bias) = names(&format!("{place}.{name}"));
        layer_norm(x, &parameters.get(&weight)?, &parameters.get(&bias)?, config.layer_norm_eps)
    };
    let normed = norm(x, "layer_norm1")?;
    let (q, k, v) =
        (map(&normed, "self_attn.q_proj")?, map(&normed, "self_attn.k_proj")?, map(&normed, "self_attn.v_proj")?);
    let attended = attention(&q, &k, &v, groups, config.hidden_size / config.num_attention_heads)?;
    let x = (x + map(&attended, "self_attn.out_proj")?)?;
    let inner = gelu_tanh(&map(&norm(&x, "layer_norm2")?, "mlp.fc1")?)?;
    &x + map(&inner, "mlp.fc2")?
}
