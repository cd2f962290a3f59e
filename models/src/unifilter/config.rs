//! config.json of a UniFilter checkpoint and of its vision tower, and what of them is supported.

use serde::Deserialize;

use crate::LoadError;
use crate::checkpoint::Checkpoint;

/// `model_type` of checkpoints over Qwen2 and Qwen2.5.
pub(crate) const QWEN2: &str = "llava_qwen";
/// `model_type` of checkpoints over Qwen3.
pub(crate) const QWEN3: &str = "llava_qwen3";

/// config.json: the fields that the arithmetic depends on.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// `llava_qwen` (Qwen2, Qwen2.5) or `llava_qwen3`.
    pub model_type: String,
    /// Width of the states.
    pub hidden_size: usize,
    /// Width of the MLPs' inner states.
    pub intermediate_size: usize,
    /// Decoder blocks.
    pub num_hidden_layers: usize,
    /// Heads of queries.
    pub num_attention_heads: usize,
    /// Heads of keys and values: a divisor of `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Rows of the embedding matrix.
    pub vocab_size: usize,
    /// Added to the mean square.
    pub rms_norm_eps: f64,
    /// The activation.
    pub hidden_act: String,
    /// Qwen3 only; Qwen2's is hidden_size / num_attention_heads.
    head_dim: Option<usize>,
    rope_theta: Option<f64>,
    /// Where transformers 5 writes rope_theta.
    rope_parameters: Option<RopeParameters>,
    rope_scaling: Option<serde_json::Value>,
    attention_bias: Option<bool>,
    use_sliding_window: Option<bool>,
    /// The vision tower's name: a folder, or a hub id.
    pub mm_vision_tower: String,
    /// Tokens that an image becomes: a square number.
    pub mm_num_image_tokens: usize,
    /// Width of the vision tower's states.
    pub mm_hidden_size: usize,
    mm_projector_type: String,
    mm_vision_select_layer: Option<i64>,
    mm_vision_select_feature: Option<String>,
    /// Embeddings beyond this many positions are cut off.
    pub tokenizer_model_max_length: Option<usize>,
    /// A vision tower's configuration saved along with the model, where there is one.
    pub vision_config: Option<VisionConfig>,
}

#[derive(Debug, Clone, Deserialize)]
struct RopeParameters {
    rope_theta: f64,
    rope_type: Option<String>,
}

impl Config {
    /// Reads config.json and refuses what the arithmetic does not cover.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, LoadError> {
        let config: Self = checkpoint.require_json("config.json")?;
        let refuse = |field: &str, found: &dyn std::fmt::Debug, expected: &str| {
            Err(LoadError::Config {
                path: checkpoint.path("config.json"),
                field: field.into(),
                found: format!("{found:?}"),
                expected: expected.into(),
            })
        };
        if ![QWEN2, QWEN3].contains(&config.model_type.as_str()) {
            return refuse("model_type", &config.model_type, "llava_qwen or llava_qwen3");
        }
        if config.hidden_act != "silu" {
            return refuse("hidden_act", &config.hidden_act, "silu");
        }
        if config.mm_projector_type != "aapool_mlp" {
            return refuse("mm_projector_type", &config.mm_projector_type, "aapool_mlp");
        }
        if let Some(layer) = config.mm_vision_select_layer.filter(|l| *l != -1) {
            return refuse("mm_vision_select_layer", &layer, "-1");
        }
        if let Some(feature) = config.mm_vision_select_feature.as_ref().filter(|f| *f != "patch") {
            return refuse("mm_vision_select_feature", feature, "patch");
        }
        if let Some(scaling) = config.rope_scaling.as_ref().filter(|s| !s.is_null()) {
            return refuse("rope_scaling", scaling, "null");
        }
        if let Some(kind) =
            config.rope_parameters.as_ref().and_then(|r| r.rope_type.as_ref()).filter(|t| *t != "default")
        {
            return refuse("rope_parameters.rope_type", kind, "default");
        }
        if config.use_sliding_window == Some(true) {
            return refuse("use_sliding_window", &true, "false");
        }
        if config.attention_bias == Some(true) && config.model_type == QWEN3 {
            return refuse("attention_bias", &true, "false");
        }
        if config.rope_theta.is_none() && config.rope_parameters.is_none() {
            return refuse("rope_theta", &"absent", "a number");
        }
        let (heads, kv) = (config.num_attention_heads, config.num_key_value_heads);
        if kv == 0 || heads == 0 || !heads.is_multiple_of(kv) {
            return refuse("num_key_value_heads", &kv, &format!("a divisor of num_attention_heads ({heads})"));
        }
        if config.model_type == QWEN2 && !config.hidden_size.is_multiple_of(heads) {
            return refuse("hidden_size", &config.hidden_size, &format!("a multiple of num_attention_heads ({heads})"));
        }
        if !config.head_dim().is_multiple_of(2) {
            return refuse("head_dim", &config.head_dim(), "an even number");
        }
        let side = config.mm_num_image_tokens.isqrt();
        if side == 0 || side * side != config.mm_num_image_tokens {
            return refuse("mm_num_image_tokens", &config.mm_num_image_tokens, "a square number");
        }
        Ok(config)
    }

    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads)
    }

    /// Base of the rotary position embedding's wavelengths.
    pub fn rope_theta(&self) -> f64 {
        self.rope_theta.or(self.rope_parameters.as_ref().map(|r| r.rope_theta)).unwrap_or_default()
    }

    /// Whether the backbone is Qwen3: norms on queries and keys, no biases.
    pub fn is_qwen3(&self) -> bool {
        self.model_type == QWEN3
    }
}

/// A SigLIP vision tower's configuration. Published files leave out what equals the defaults of transformers'
/// `SiglipVisionConfig`; those are the defaults here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// Width of the states.
    pub hidden_size: usize,
    /// Width of the MLPs' inner states.
    pub intermediate_size: usize,
    /// Decoder blocks.
    pub num_hidden_layers: usize,
    /// Heads of queries.
    pub num_attention_heads: usize,
    /// Channels of the picture: 3.
    pub num_channels: usize,
    /// Pixels of a side of the picture.
    pub image_size: usize,
    /// Pixels of a patch's side.
    pub patch_size: usize,
    /// Added to the variance.
    pub layer_norm_eps: f64,
    /// The activation.
    pub hidden_act: String,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 16,
            layer_norm_eps: 1e-6,
            hidden_act: "gelu_pytorch_tanh".into(),
        }
    }
}

impl VisionConfig {
    /// The configuration in a tower's own folder: at the top of its config.json, or nested as `vision_config`.
    pub(crate) fn read(tower: &Checkpoint) -> Result<Self, LoadError> {
        #[derive(Deserialize)]
        struct Nested {
            vision_config: Option<VisionConfig>,
        }
        let nested: Nested = tower.require_json("config.json")?;
        match nested.vision_config {
            Some(config) => Ok(config),
            None => tower.require_json("config.json"),
        }
        .and_then(|config| config.checked(tower))
    }

    /// The published SO400M tower that a name such as `google/siglip2-so400m-patch14-384` stands for.
    pub(crate) fn published(name: &str) -> Option<Self> {
        let name = name.rsplit('/').next()?;
        let so400m = Self {
            hidden_size: 1152,
            intermediate_size: 4304,
            num_hidden_layers: 27,
            num_attention_heads: 16,
            image_size: 384,
            patch_size: 14,
            ..Self::default()
        };
        matches!(name, "siglip-so400m-patch14-384" | "siglip2-so400m-patch14-384").then_some(so400m)
    }

    /// Refuses what the arithmetic does not cover.
    pub(crate) fn checked(self, place: &Checkpoint) -> Result<Self, LoadError> {
        let refuse = |field: &str, found: &dyn std::fmt::Debug, expected: &str| {
            Err(LoadError::Config {
                path: place.path("config.json"),
                field: format!("vision_config.{field}"),
                found: format!("{found:?}"),
                expected: expected.into(),
            })
        };
        if self.hidden_act != "gelu_pytorch_tanh" {
            return refuse("hidden_act", &self.hidden_act, "gelu_pytorch_tanh");
        }
        if self.num_channels != 3 {
            return refuse("num_channels", &self.num_channels, "3");
        }
        if self.patch_size == 0 || self.image_size < self.patch_size {
            return refuse("patch_size", &self.patch_size, &format!("1 to image_size ({})", self.image_size));
        }
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return refuse(
                "num_attention_heads",
                &self.num_attention_heads,
                &format!("a divisor of {}", self.hidden_size),
            );
        }
        Ok(self)
    }

    /// Patches along one side of the image.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size
    }
}

/// preprocessor_config.json of a SigLIP image processor.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PreprocessorConfig {
    /// Pillow's number of the filter.
    pub(crate) resample: u32,
    /// What a level of a channel is multiplied by.
    pub(crate) rescale_factor: f64,
    /// Subtracted then, by channel.
    pub(crate) image_mean: [f32; 3],
    /// Divided by then, by channel.
    pub(crate) image_std: [f32; 3],
    /// The size that images are resized to.
    pub(crate) size: Size,
}

/// The size that images are resized to.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Size {
    /// Rows.
    pub(crate) height: usize,
    /// Columns.
    pub(crate) width: usize,
}
