//! Whole files through decoding and resizing, against what Pillow 11.3 makes of them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tamis_models::preprocess::{Filter, ImageError, decode, probe, resize};

const MAX_PIXELS: u64 = 89_478_485;

fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every picture of the golden cases, decoded and resized: both hashes must be the reference's.
fn golden(checkpoint: &str) {
    let folder = tests_dir().join("golden").join(checkpoint);
    let cases = json(&folder.join("cases.json"));
    let filter = Filter::from_pillow(cases["resample"].as_u64().unwrap() as u32).unwrap();
    let captions = cases["captions"].as_array().unwrap();
    assert!(captions.len() >= 20);
    let mut wrong = Vec::new();
    for case in captions {
        let name = case["image"].as_str().unwrap();
        let file = std::fs::read(folder.join(name)).unwrap();
        let image = decode(&file, MAX_PIXELS).unwrap();
        assert_eq!((image.width, image.height), size_of(case), "{name}");
        let info = probe(&file).unwrap();
        assert_eq!((info.width, info.height), size_of(case), "{name}");
        if sha256(&image.pixels) != case["rgb_sha256"].as_str().unwrap() {
            wrong.push(format!("{name} decoded"));
        } else if sha256(&resize(&image, 384, 384, filter).pixels) != case["resized_sha256"].as_str().unwrap() {
            wrong.push(format!("{name} resized"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn size_of(case: &Value) -> (u32, u32) {
    (case["width"].as_u64().unwrap() as u32, case["height"].as_u64().unwrap() as u32)
}

#[test]
fn golden_pictures_with_bicubic() {
    golden("tiny-qwen2");
}

#[test]
fn golden_pictures_with_bilinear() {
    golden("tiny-qwen3");
}

/// Kinds of files that the golden cases do not have, against Pillow: see images/make.py.
#[test]
fn further_kinds_are_as_pillow_makes_them() {
    let folder = tests_dir().join("images");
    let manifest = json(&folder.join("manifest.json"));
    let mut wrong = Vec::new();
    for entry in manifest.as_array().unwrap() {
        let name = entry["file"].as_str().unwrap();
        let file = std::fs::read(folder.join(name)).unwrap();
        let decoded = decode(&file, MAX_PIXELS);
        let ours = entry["ours"].as_str().unwrap();
        let right = match (&decoded, entry["sha256"].as_str()) {
            (Err(ImageError::UnsupportedFeature { .. }), Some(_)) => ours == "unsupported",
            (Err(_), None) => true,
            (Ok(image), Some(hash)) => {
                let info = probe(&file).unwrap();
                ours == "pillow"
                    && (image.width, image.height) == size_of(entry)
                    && (info.width, info.height) == size_of(entry)
                    && sha256(&image.pixels) == hash
            }
            _ => false,
        };
        if !right {
            wrong.push(format!("{name}: {:?}", decoded.map(|image| (image.width, image.height))));
        }
    }
    assert!(wrong.is_empty(), "{} files: {wrong:#?}", wrong.len());
}
