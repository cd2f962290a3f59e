//! The ways in which a checkpoint can be saved, and the ways in which it can be broken.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const TOWER: &str = "siglip2-tiny-patch14-384";
const OWN_TOWER: &str = "model.vision_tower.vision_tower.vision_model.";

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A copy of the embedded checkpoint that a test may change.
fn copy() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join(TOWER))?;
    for part in ["", TOWER] {
        for entry in std::fs::read_dir(Path::new("assets/tiny-qwen3").join(part))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), folder.path().join(part).join(entry.file_name()))?;
            }
        }
    }
    Ok(folder)
}

fn edit_config(folder: &Path, edit: impl FnOnce(&mut Value)) -> Result<()> {
    let path = folder.join("config.json");
    let mut config = serde_json::from_slice(&std::fs::read(&path)?)?;
    edit(&mut config);
    Ok(std::fs::write(path, config.to_string())?)
}

fn read(path: &Path) -> Result<Tensors> {
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    Ok(file.iter().map(|(n, t)| (n.to_string(), (t.dtype(), t.shape().to_vec(), t.data().to_vec()))).collect())
}

fn write(path: &Path, tensors: &Tensors) -> Result<()> {
    let views = tensors.iter().map(|(n, (d, s, b))| Ok((n.as_str(), TensorView::new(*d, s.clone(), b)?)));
    Ok(std::fs::write(path, serialize(views.collect::<Result<Vec<_>>>()?, None)?)?)
}

fn edit_weights(folder: &Path, edit: impl FnOnce(&mut Tensors)) -> Result<()> {
    let path = folder.join("model.safetensors");
    let mut tensors = read(&path)?;
    edit(&mut tensors);
    write(&path, &tensors)
}

fn load(folder: &Path) -> std::result::Result<UniFilter, LoadError> {
    UniFilter::load(&Location::Folder(folder.to_path_buf()), DeviceChoice::Cpu, DtypeChoice::Auto)
}

fn score(model: &UniFilter) -> Result<f32> {
    let image = std::fs::read("tests/golden/images/c02.png")?;
    let sample = Sample::Pair { image: &image, text: "A woman in an orange space suit." };
    Ok(model.score(&[model.prepare(&sample, &Limits::default())?])?.scores[0])
}

fn error(folder: &Path) -> String {
    load(folder).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_embedded_model_is_the_folder_s() -> Result<()> {
    let embedded = UniFilter::load(&Location::Embedded, DeviceChoice::Cpu, DtypeChoice::Auto)?;
    let folder = copy()?;
    let folder = load(folder.path())?;
    assert_eq!(score(&embedded)?, score(&folder)?);
    Ok(())
}

#[test]
fn shards_give_the_same_score() -> Result<()> {
    let folder = copy()?;
    let expected = score(&load(folder.path())?)?;
    let all = read(&folder.path().join("model.safetensors"))?;
    let mut map = BTreeMap::new();
    for (i, half) in [true, false].into_iter().enumerate() {
        let name = format!("model-{:05}-of-00002.safetensors", i + 1);
        let part: Tensors = all
            .iter()
            .enumerate()
            .filter(|(k, _)| (k % 2 == 0) == half)
            .map(|(_, (n, t))| (n.clone(), t.clone()))
            .collect();
        write(&folder.path().join(&name), &part)?;
        map.extend(part.into_keys().map(|n| (n, name.clone())));
    }
    std::fs::remove_file(folder.path().join("model.safetensors"))?;
    std::fs::write(folder.path().join("model.safetensors.index.json"), json!({ "weight_map": map }).to_string())?;
    assert_eq!(score(&load(folder.path())?)?, expected);
    std::fs::remove_file(folder.path().join("model-00002-of-00002.safetensors"))?;
    assert!(error(folder.path()).contains("no model-00002-of-00002.safetensors in"));
    Ok(())
}

#[test]
fn half_precision_weights_load_and_score_close() -> Result<()> {
    let folder = copy()?;
    let expected = score(&load(folder.path())?)?;
    let halve = |to: Dtype| {
        move |tensors: &mut Tensors| {
            for (dtype, _, bytes) in tensors.values_mut() {
                let values = bytes.chunks(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]));
                *bytes = match to {
                    Dtype::BF16 => values.flat_map(|v| half::bf16::from_f32(v).to_le_bytes()).collect(),
                    _ => values.flat_map(|v| half::f16::from_f32(v).to_le_bytes()).collect(),
                };
                *dtype = to;
            }
        }
    };
    for (dtype, tolerance) in [(Dtype::BF16, 0.05), (Dtype::F16, 0.01)] {
        let folder = copy()?;
        edit_weights(folder.path(), halve(dtype))?;
        let found = score(&load(folder.path())?)?;
        assert!((found - expected).abs() < tolerance, "{dtype:?} weights: {found}, f32 {expected}");
    }
    // The other way round: f32 weights, half-precision arithmetic.
    for (dtype, tolerance) in [(DtypeChoice::Bf16, 0.15), (DtypeChoice::F16, 0.02)] {
        let found = score(&UniFilter::load(&Location::Embedded, DeviceChoice::Cpu, dtype)?)?;
        assert!((found - expected).abs() < tolerance, "{dtype:?} arithmetic: {found}, f32 {expected}");
    }
    Ok(())
}

#[test]
fn the_tower_may_lie_inside_the_checkpoint_or_beside_it() -> Result<()> {
    let folder = copy()?;
    let expected = score(&load(folder.path())?)?;
    // Beside: the checkpoint in a subfolder, the tower its sibling.
    let parent = tempfile::tempdir()?;
    let model = parent.path().join("model");
    std::fs::create_dir(&model)?;
    for entry in std::fs::read_dir(folder.path())? {
        let entry = entry?;
        let target = if entry.file_type()?.is_dir() { parent.path() } else { model.as_path() };
        std::fs::rename(entry.path(), target.join(entry.file_name()))?;
    }
    edit_weights(&model, |tensors| tensors.retain(|name, _| !name.starts_with(OWN_TOWER)))?;
    assert_eq!(score(&load(&model)?)?, expected);
    // Inside: no folder of its own, its configuration in config.json.
    let folder = copy()?;
    let tower: Value = serde_json::from_slice(&std::fs::read(folder.path().join(TOWER).join("config.json"))?)?;
    std::fs::remove_dir_all(folder.path().join(TOWER))?;
    edit_config(folder.path(), |c| {
        c["vision_config"] = tower["vision_config"].clone();
        c["mm_vision_tower"] = "google/no-such-tower".into();
    })?;
    assert_eq!(score(&load(folder.path())?)?, expected);
    Ok(())
}

#[test]
fn the_tower_s_own_folder_wins_over_the_copy() -> Result<()> {
    let folder = copy()?;
    let expected = score(&load(folder.path())?)?;
    edit_weights(folder.path(), |tensors| {
        tensors.iter_mut().filter(|(n, _)| n.starts_with(OWN_TOWER)).for_each(|(_, (_, _, bytes))| bytes.fill(0));
    })?;
    assert_eq!(score(&load(folder.path())?)?, expected);
    Ok(())
}

#[test]
fn with_several_labels_the_score_is_the_probability_of_class_1() -> Result<()> {
    let folder = copy()?;
    let logit = score(&load(folder.path())?)?;
    edit_weights(folder.path(), |tensors| {
        if let Some((_, shape, bytes)) = tensors.get_mut("score.weight") {
            // Class 0's logit is 0, class 1's the one that was there.
            *bytes = [vec![0; bytes.len()], bytes.clone()].concat();
            shape[0] = 2;
        }
    })?;
    let found = score(&load(folder.path())?)?;
    assert!((found - 1. / (1. + (-logit).exp())).abs() < 1e-6, "{found} for a logit of {logit}");
    Ok(())
}

#[test]
fn a_checkpoint_without_tokenizer_json_gives_the_same_ids() -> Result<()> {
    for name in ["tests/golden/tiny-qwen2", "assets/tiny-qwen3"] {
        let folder = tempfile::tempdir()?;
        for file in
            ["vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"]
        {
            std::fs::copy(Path::new(name).join(file), folder.path().join(file))?;
        }
        let open = |path: &Path| -> Result<Tokens> {
            std::fs::write(folder.path().join("config.json"), "{}")?;
            Ok(Tokens::open(&crate::checkpoint::Checkpoint::open(&Location::Folder(path.to_path_buf()))?)?)
        };
        let (slow, fast) = (open(folder.path())?, open(Path::new(name))?);
        assert_eq!((slow.bos, slow.eos, slow.pad), (fast.bos, fast.eos, fast.pad));
        let golden = Path::new("tests/golden").join(Path::new(name).file_name().context("name")?);
        let cases: Value = serde_json::from_slice(&std::fs::read(golden.join("cases.json"))?)?;
        for case in cases["captions"].as_array().context("captions")? {
            let caption = case["caption"].as_str().context("caption")?;
            assert_eq!(slow.encode(caption)?, fast.encode(caption)?, "{caption}");
        }
    }
    Ok(())
}

#[test]
fn broken_weights_are_named() -> Result<()> {
    let folder = copy()?;
    edit_weights(folder.path(), |tensors| {
        tensors.remove("model.layers.1.mlp.up_proj.weight");
    })?;
    let message = error(folder.path());
    assert!(
        message.contains("model.safetensors: no tensor model.layers.1.mlp.up_proj.weight (expected shape [128, 64])"),
        "{message}"
    );

    let folder = copy()?;
    edit_weights(folder.path(), |tensors| {
        if let Some((_, shape, _)) = tensors.get_mut("model.norm.weight") {
            *shape = vec![8, 8];
        }
    })?;
    let message = error(folder.path());
    assert!(message.contains("tensor model.norm.weight has shape [8, 8], expected [64]"), "{message}");

    let folder = copy()?;
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path)?;
    std::fs::write(&path, &bytes[..bytes.len() / 2])?;
    let message = error(folder.path());
    assert!(message.contains("model.safetensors: not a safetensors file"), "{message}");
    std::fs::remove_file(&path)?;
    assert!(error(folder.path()).contains("no model.safetensors in"));
    Ok(())
}

#[test]
fn broken_configurations_are_named() -> Result<()> {
    let cases: [(&str, Value, &str); 7] = [
        ("model_type", "llava_llama".into(), "field model_type is \"llava_llama\", expected llava_qwen or llava_qwen3"),
        ("mm_projector_type", "linear".into(), "field mm_projector_type is \"linear\", expected aapool_mlp"),
        ("mm_num_image_tokens", 145.into(), "field mm_num_image_tokens is 145, expected a square number"),
        ("use_sliding_window", true.into(), "field use_sliding_window is true, expected false"),
        ("num_key_value_heads", 3.into(), "expected a divisor of num_attention_heads (4)"),
        ("mm_hidden_size", 65.into(), "field mm_hidden_size is 65, expected the vision tower's hidden_size (64)"),
        ("hidden_size", "many".into(), "config.json: invalid type: string \"many\", expected usize"),
    ];
    for (field, value, expected) in cases {
        let folder = copy()?;
        edit_config(folder.path(), |c| c[field] = value)?;
        let message = error(folder.path());
        assert!(message.contains("config.json") && message.contains(expected), "{message}");
    }
    let folder = copy()?;
    edit_config(folder.path(), |c| {
        c.as_object_mut().map(|c| c.remove("rms_norm_eps"));
    })?;
    assert!(error(folder.path()).contains("missing field `rms_norm_eps`"));
    for part in ["", TOWER] {
        std::fs::remove_file(folder.path().join(part).join("preprocessor_config.json"))?;
    }
    edit_config(folder.path(), |c| c["rms_norm_eps"] = json!(1e-6))?;
    assert!(error(folder.path()).contains("no preprocessor_config.json"));
    Ok(())
}

#[test]
fn the_fingerprint_follows_weights_configuration_and_dtype() -> Result<()> {
    let folder = copy()?;
    let first = load(folder.path())?.fingerprint()?.to_string();
    assert_eq!(load(folder.path())?.fingerprint()?, first);
    let f16 = UniFilter::load(&Location::Folder(folder.path().to_path_buf()), DeviceChoice::Cpu, DtypeChoice::F16)?;
    assert_ne!(f16.fingerprint()?, first);
    edit_weights(folder.path(), |tensors| {
        if let Some((_, _, bytes)) = tensors.get_mut("score.weight") {
            bytes[0] ^= 1;
        }
    })?;
    let second = load(folder.path())?.fingerprint()?.to_string();
    assert_ne!(second, first);
    edit_config(folder.path(), |c| c["rope_theta"] = json!(10000.0))?;
    assert_ne!(load(folder.path())?.fingerprint()?, second);
    Ok(())
}
