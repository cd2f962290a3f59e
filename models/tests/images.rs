//! Whole files through decoding and resizing, against what Pillow 11.3 makes of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tamis_models::preprocess::{Filter, ImageError, decode, decode_resized, probe, resize};

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
        assert_eq!(decode_resized(&file, MAX_PIXELS, (384, 384), filter).unwrap(), resize(&image, 384, 384, filter));
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
        let at_once = decode_resized(&file, MAX_PIXELS, (61, 59), Filter::Bicubic).map_err(|error| error.to_string());
        let in_steps = decoded.as_ref().map(|image| resize(image, 61, 59, Filter::Bicubic));
        if !right || at_once != in_steps.map_err(|error| error.to_string()) {
            wrong.push(format!("{name}: {:?}", decoded.map(|image| (image.width, image.height))));
        }
    }
    assert!(wrong.is_empty(), "{} files: {wrong:#?}", wrong.len());
}

/// Every file, cut at many lengths: an error, or the whole picture, if what is cut off lies behind it. Nothing is made up
/// for pixels that are not there.
#[test]
fn cut_files_are_refused() {
    let mut files = Vec::new();
    for folder in ["golden/images", "images"] {
        for entry in std::fs::read_dir(tests_dir().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if !path.extension().is_some_and(|extension| extension == "py" || extension == "json") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 200);
    for path in files {
        let file = std::fs::read(&path).unwrap();
        let whole = decode(&file, MAX_PIXELS);
        let step = file.len() / 10 + 1;
        for len in (0..file.len()).step_by(step).chain(file.len().saturating_sub(24)..file.len()) {
            let cut = decode(&file[..len], MAX_PIXELS);
            let resized = decode_resized(&file[..len], MAX_PIXELS, (7, 9), Filter::Bilinear);
            assert_eq!(resized.is_ok(), cut.is_ok(), "{} cut at {len}", path.display());
            match cut {
                Err(ImageError::Internal { .. }) => panic!("{} cut at {len}", path.display()),
                Err(_) => {}
                // Metadata, checksums and end marks may be missing. A TIFF's directory stands at the end of these files;
                // a cut one describes another picture, in Pillow too.
                Ok(image) if path.extension().unwrap() != "tif" => {
                    assert!(whole.as_ref() == Ok(&image), "{} cut at {len}", path.display());
                }
                Ok(_) => {}
            }
        }
    }
}

fn golden_file(name: &str) -> Vec<u8> {
    std::fs::read(tests_dir().join("golden/images").join(name)).unwrap()
}

/// A PNG that claims to be 60,000 x 60,000 pixels large.
fn huge_png() -> Vec<u8> {
    let mut file = golden_file("c02.png");
    file[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    file[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    file
}

#[test]
fn a_claim_of_too_many_pixels_is_refused_by_the_header() {
    let error = decode(&huge_png(), MAX_PIXELS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "png of 60000 x 60000 pixels is larger than the 89478485 pixels that are decoded (tamis.image.max_pixels)"
    );
    assert_eq!(probe(&huge_png()).unwrap().width, 60_000);
    for name in ["c00.jpg", "c05.webp", "c13.png"] {
        let file = golden_file(name);
        let info = probe(&file).unwrap();
        let pixels = u64::from(info.width) * u64::from(info.height);
        assert!(decode(&file, pixels).is_ok(), "{name}");
        assert!(matches!(decode(&file, pixels - 1), Err(ImageError::TooLarge { .. })), "{name}");
    }
    let file = std::fs::read(tests_dir().join("images/gif-beyond-screen.gif")).unwrap();
    assert!(matches!(decode(&file, 12 * 24), Err(ImageError::TooLarge { .. })), "frames count, not only the screen");
}

/// A progressive JPEG whose last scan is repeated.
#[test]
fn too_many_scans_are_refused() {
    let file = std::fs::read(tests_dir().join("images/jpeg-progressive-grey.jpg")).unwrap();
    let last_scan = file.windows(2).rposition(|two| two == [0xff, 0xda]).unwrap();
    let repeated = |times: usize| {
        let (head, tail) = file.split_at(last_scan);
        let (scan, end) = tail.split_at(tail.len() - 2);
        [head, &scan.repeat(times), end].concat()
    };
    assert!(decode(&repeated(1), MAX_PIXELS).is_ok());
    assert!(matches!(decode(&repeated(150), MAX_PIXELS), Err(ImageError::Excessive { .. })));
}

#[test]
fn what_is_no_image_is_named() {
    for (bytes, message) in [
        (&b""[..], "no bytes: the image is empty"),
        (b"<html><body>404</body></html>", "like an html page"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "avif images are not decoded"),
        (b"\xff\xd8\xff", "jpeg is truncated: the file ends within its header"),
        (b"GIF89a", "gif is truncated: the file ends within its header"),
        (b"BM\0\0", "bmp is truncated: the file ends within its header"),
    ] {
        let error = decode(bytes, MAX_PIXELS).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(probe(bytes).unwrap_err().to_string(), error);
    }
}
