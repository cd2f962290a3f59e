//! A trained model in the released layout.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use tamis_models::checkpoint::PREPARATION;
use tamis_models::unifilter::Parts as Files;

use crate::TrainingError;
use crate::data::Aspect;
use crate::model::{Model, Part, TOWER};

/// Below which the tower's own folder has its names.
const OWN: &str = "vision_model.";

/// What weights are stored in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SavedAs {
    /// As they were trained.
    #[default]
    F32,
    /// Half the size.
    Bf16,
    /// Half the size, for weights that are small.
    F16,
}

impl SavedAs {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }
}

impl FromStr for SavedAs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err(format!("{text:?} is no type of weights; expected f32, bf16 or f16")),
        }
    }
}

/// Writes a file so that it is there whole, or not at all.
pub(super) fn write_whole(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), TrainingError>,
) -> Result<(), TrainingError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = Path::new(&unfinished);
    write(unfinished)?;
    std::fs::File::open(unfinished)
        .and_then(|file| file.sync_all())
        .map_err(TrainingError::io("writing", unfinished))?;
    std::fs::rename(unfinished, path).map_err(TrainingError::io("writing", path))
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), TrainingError> {
    write_whole(path, |path| std::fs::write(path, bytes).map_err(TrainingError::io("writing", path)))
}

/// Writes tensors to a safetensors file.
pub(super) fn write_tensors(path: &Path, tensors: &HashMap<String, Tensor>) -> Result<(), TrainingError> {
    write_whole(path, |path| {
        candle_core::safetensors::save(tensors, path).map_err(TrainingError::compute("writing the weights"))
    })
}

/// Writes the model to a folder: config.json, the weights with the tower's copy, the tower's own folder, and the tokenizer's files.
pub(crate) fn save_model(
    model: &Model,
    files: &Files,
    aspect: Aspect,
    saved_as: SavedAs,
    folder: &Path,
) -> Result<(), TrainingError> {
    std::fs::create_dir_all(folder).map_err(TrainingError::io("making", folder))?;
    let name = files.config.mm_vision_tower.trim_end_matches('/');
    let tower_name = name.rsplit('/').next().unwrap_or(name);
    let tower = folder.join(tower_name);
    std::fs::create_dir_all(&tower).map_err(TrainingError::io("making", &tower))?;
    for name in PREPARATION {
        if let Some(bytes) = files.checkpoint.read(name)? {
            write_bytes(&folder.join(name), &bytes)?;
        }
    }
    let processor = match &files.tower {
        Some((own, _)) => own.read("preprocessor_config.json")?,
        None => None,
    };
    if let Some(bytes) = processor.or(files.checkpoint.read("preprocessor_config.json")?) {
        write_bytes(&tower.join("preprocessor_config.json"), &bytes)?;
    }
    write_bytes(&tower.join("config.json"), tower_config(files)?.as_bytes())?;

    let cast = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(saved_as.dtype());
    let (mut all, mut own) = (HashMap::new(), HashMap::new());
    // What the tower has and nobody computes with: its last norm and its pooling head.
    let (weights, prefix) = files.vision_weights();
    for (name, shape, _) in weights.tensors() {
        let Some(in_tower) = name.strip_prefix(prefix) else { continue };
        let Some(stored) = weights.values(name)? else { continue };
        let failed = TrainingError::compute("copying the tower");
        let tensor = Tensor::from_vec(stored.values, shape, &Device::Cpu).and_then(|t| cast(&t)).map_err(failed)?;
        all.insert(format!("{TOWER}{in_tower}"), tensor.clone());
        own.insert(format!("{OWN}{in_tower}"), tensor);
    }
    for (name, tensor) in model.parameters().tensors() {
        let tensor = cast(tensor).map_err(TrainingError::compute("copying the weights"))?;
        if let Some(in_tower) = name.strip_prefix(TOWER) {
            own.insert(format!("{OWN}{in_tower}"), tensor.clone());
        }
        all.insert(name.to_string(), tensor);
    }
    write_tensors(&tower.join("model.safetensors"), &own)?;
    write_tensors(&folder.join("model.safetensors"), &all)?;
    // Last: a folder without it is no model.
    write_bytes(&folder.join("config.json"), config(model, files, aspect, saved_as, tower_name)?.as_bytes())
}

fn config(
    model: &Model,
    files: &Files,
    aspect: Aspect,
    saved_as: SavedAs,
    tower: &str,
) -> Result<String, TrainingError> {
    let mut config: Value = files.checkpoint.require_json("config.json")?;
    if let Some(fields) = config.as_object_mut() {
        let labels = 0..model.labels();
        let label = |number: usize| format!("LABEL_{number}");
        fields.insert("id2label".into(), labels.clone().map(|n| (n.to_string(), json!(label(n)))).collect());
        fields.insert("label2id".into(), labels.map(|n| (label(n), json!(n))).collect());
        let aspect = if aspect == Aspect::Pad { "pad" } else { "stretch" };
        fields.insert("image_aspect_ratio".into(), json!(aspect));
        fields.insert("torch_dtype".into(), json!(saved_as.torch_name()));
        if model.parameters().trains(Part::Vision) || files.tower.is_none() {
            fields.insert("mm_vision_tower".into(), json!(tower));
        }
    }
    pretty(&config)
}

fn tower_config(files: &Files) -> Result<String, TrainingError> {
    if let Some((own, _)) = &files.tower
        && let Some(config) = own.json::<Value>("config.json")?
    {
        return pretty(&config);
    }
    let vision = &files.vision_config;
    pretty(&json!({
        "model_type": "siglip_vision_model",
        "architectures": ["SiglipVisionModel"],
        "hidden_size": vision.hidden_size,
        "intermediate_size": vision.intermediate_size,
        "num_hidden_layers": vision.num_hidden_layers,
        "num_attention_heads": vision.num_attention_heads,
        "num_channels": vision.num_channels,
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "layer_norm_eps": vision.layer_norm_eps,
        "hidden_act": vision.hidden_act,
        "attention_dropout": 0.0,
    }))
}

fn pretty(value: &Value) -> Result<String, TrainingError> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| TrainingError::Data(format!("writing a configuration: {error}")))
}

/// A projector's tensors, by their names in the released layout: from safetensors, or from the pickle of `mm_projector.bin`.
pub fn read_projector(path: &Path) -> Result<Vec<(String, Tensor)>, TrainingError> {
    const PLACE: &str = "mm_projector.";
    let failed = TrainingError::compute("reading the projector");
    let tensors: Vec<(String, Tensor)> = match path.extension().is_some_and(|extension| extension == "safetensors") {
        true => candle_core::safetensors::load(path, &Device::Cpu).map_err(failed)?.into_iter().collect(),
        false => candle_core::pickle::read_all(path).map_err(failed)?,
    };
    let named = tensors.into_iter().filter_map(|(name, tensor)| {
        let (_, in_projector) = name.split_once(PLACE)?;
        Some((format!("model.{PLACE}{in_projector}"), tensor))
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        return Err(TrainingError::Data(format!(
            "{}: no tensor is called model.mm_projector.*: this is no projector",
            path.display()
        )));
    }
    Ok(named)
}
