//! The Qwen2 / Qwen2.5 (arXiv 2407.10671) and Qwen3 (arXiv 2505.09388) backbones, with gradients.

use candle_core::{Result, Tensor};
use tamis_models::unifilter::Config;

use super::parameters::{Initial, Loader, Parameters};
use crate::TrainingError;
use crate::ops::{Groups, Rotation, attention, linear, rms_norm, rotate, swiglu};

/// Rows of the embeddings.
pub(crate) const EMBEDDINGS: &str = "model.embed_tokens.weight";
/// The head of next tokens, where it is not the embeddings.
pub(crate) const NEXT_TOKEN: &str = "lm_head.weight";

/// Adds the backbone's tensors.
pub(crate) fn load(config: &Config, loader: &mut Loader<'_>) -> std::result::Result<(), TrainingError> {
    let (hidden, inner, head) = (config.hidden_size, config.intermediate_size, config.head_dim());
    let (wide, narrow) = (config.num_attention_heads * head, config.num_key_value_heads * head);
    let deep = 0.02 / ((2 * config.num_hidden_layers.max(1)) as f64).sqrt();
    loader.add(EMBEDDINGS, &[config.vocab_size, hidden], Initial::Normal(0.02))?;
    for layer in 0..config.num_hidden_layers {
        let place = format!("model.layers.{layer}");
        for (name, outputs) in [("q_proj", wide), ("k_proj", narrow), ("v_proj", narrow)] {
            loader.add(&format!("{place}.self_attn.{name}.weight"), &[outputs, hidden], Initial::Normal(0.02))?;
            if !config.is_qwen3() {
                loader.add(&format!("{place}.self_attn.{name}.bias"), &[outputs], Initial::Zeros)?;
            }
        }
        if config.is_qwen3() {
            loader.add(&format!("{place}.self_attn.q_norm.weight"), &[head], Initial::Ones)?;
            loader.add(&format!("{place}.self_attn.k_norm.weight"), &[head], Initial::Ones)?;
        }
        loader.add(&format!("{place}.self_attn.o_proj.weight"), &[hidden, wide], Initial::Normal(deep))?;
        loader.add(&format!("{place}.mlp.gate_proj.weight"), &[inner, hidden], Initial::Normal(0.02))?;
        loader.add(&format!("{place}.mlp.up_proj.weight"), &[inner, hidden], Initial::Normal(0.02))?;
        loader.add(&format!("{place}.mlp.down_proj.weight"), &[hidden, inner], Initial::Normal(deep))?;
        loader.add(&format!("{place}.input_layernorm.weight"), &[hidden], Initial::Ones)?;
        loader.add(&format!("{place}.post_attention_layernorm.weight"), &[hidden], Initial::Ones)?;
    }
    loader.add("model.norm.weight", &[hidden], Initial::Ones)
}

/// Where rows stand, and which they attend to.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) groups: Groups,
    pub(crate) rotation: Rotation,
}

/// One block over states [rows, hidden].
pub(crate) fn block(
    config: &Config,
    parameters: &Parameters,
    layer: usize,
    x: &Tensor,
    places: &Places,
) -> Result<Tensor> {
    let place = format!("model.layers.{layer}");
    let get = |name: &str| parameters.get(&format!("{place}.{name}"));
    let (eps, head) = (config.rms_norm_eps, config.head_dim());
    let normed = rms_norm(x, &get("input_layernorm.weight")?, eps)?;
    let project = |name: &str| {
        let bias = (!config.is_qwen3()).then(|| get(&format!("self_attn.{name}.bias"))).transpose()?;
        linear(&normed, &get(&format!("self_attn.{name}.weight"))?, bias.as_ref())
    };
    let (mut q, mut k, v) = (project("q_proj")?, project("k_proj")?, project("v_proj")?);
    if config.is_qwen3() {
        let norm = |x: &Tensor, name: &str| {
            let (rows, width) = x.dims2()?;
            let heads = x.reshape((rows * (width / head), head))?;
            rms_norm(&heads, &get(name)?, eps)?.reshape((rows, width))
        };
        (q, k) = (norm(&q, "self_attn.q_norm.weight")?, norm(&k, "self_attn.k_norm.weight")?);
    }
    let (q, k) = (rotate(&q, &places.rotation)?, rotate(&k, &places.rotation)?);
    let attended = attention(&q, &k, &v, &places.groups, head)?;
    let x = (x + linear(&attended, &get("self_attn.o_proj.weight")?, None)?)?;
    let normed = rms_norm(&x, &get("post_attention_layernorm.weight")?, eps)?;
    let gate = linear(&normed, &get("mlp.gate_proj.weight")?, None)?;
    let inner = swiglu(&gate, &linear(&normed, &get("mlp.up_proj.weight")?, None)?)?;
    &x + linear(&inner, &get("mlp.down_proj.weight")?, None)?
}
