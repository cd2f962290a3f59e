//! The reference's own scores: every case in `tests/golden`, for both kinds of checkpoint.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::*;
use crate::kernels::{Isa, Storage};
use crate::prepared::Embeddings;
use crate::preprocess;
use crate::text::{document_ids, pair_ids};

/// f32, where the resized pixels are equal.
const TOLERANCE: f64 = 2e-5;

/// What computes the scores.
#[derive(Debug, Clone, Copy)]
enum Computer {
    /// The kernels, with these instructions.
    Kernels(Isa),
    /// The kernels with short numbers.
    Short(Way),
    /// candle on a CPU: another's arithmetic.
    Candle,
    /// A GPU.
    #[cfg(feature = "cuda")]
    Cuda(DtypeChoice),
}

impl Computer {
    fn all() -> Vec<Self> {
        let mut all: Vec<_> = Isa::available().into_iter().map(Self::Kernels).chain([Self::Candle]).collect();
        all.extend(Self::cuda(DtypeChoice::F32));
        all
    }

    /// A GPU, where there is one.
    fn cuda(dtype: DtypeChoice) -> Option<Self> {
        #[cfg(feature = "cuda")]
        return crate::cuda::is_available().then_some(Self::Cuda(dtype));
        #[cfg(not(feature = "cuda"))]
        {
            let _ = dtype;
            None
        }
    }

    pub(super) fn load(self, location: &Location) -> Result<UniFilter> {
        let arithmetic = match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(dtype) => Arithmetic::of(DeviceChoice::Cuda(0), dtype),
            _ => Arithmetic::of(DeviceChoice::Cpu, DtypeChoice::F32),
        };
        Ok(UniFilter::load_with(location, arithmetic, |parts, arithmetic| {
            Ok(match self {
                Self::Kernels(isa) => Box::new(CpuModel::load(parts, Way { isa, storage: Storage::F32 })?),
                Self::Short(way) => Box::new(CpuModel::load(parts, way)?),
                #[cfg(feature = "cuda")]
                Self::Cuda(_) => Box::new(cuda::CudaModel::load(parts, DeviceChoice::Cuda(0), arithmetic)?),
                Self::Candle => Box::new(candle::CandleModel::load(parts)?),
            })
        })?)
    }
}

struct Golden {
    model: UniFilter,
    cases: Value,
    folder: PathBuf,
}

impl Golden {
    fn load(name: &str, computer: Computer) -> Result<Self> {
        let folder = PathBuf::from("tests/golden").join(name);
        let location = match folder.join("config.json").is_file() {
            true => Location::Folder(folder.clone()),
            false => Location::Folder(PathBuf::from("assets").join(name)),
        };
        let model = computer.load(&location)?;
        let cases = serde_json::from_slice(&std::fs::read(folder.join("cases.json"))?)?;
        Ok(Self { model, cases, folder })
    }

    fn cases(&self, kind: &str) -> Result<&Vec<Value>> {
        self.cases[kind].as_array().context("cases.json")
    }

    /// A `.npy` file of f32 values.
    fn array(&self, name: &str) -> Result<Vec<f32>> {
        let bytes = std::fs::read(self.folder.join("arrays").join(name))?;
        let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        ensure!(String::from_utf8_lossy(&bytes[10..10 + header]).contains("'<f4'"), "{name} is not f32");
        Ok(bytes[10 + header..].chunks(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect())
    }
}

fn ids_of(case: &Value) -> Vec<Option<u32>> {
    let ids = case["input_ids"].as_array().into_iter().flatten();
    ids.map(|id| id.as_i64().and_then(|id| u32::try_from(id).ok())).collect()
}

fn check_captions(name: &str, computer: Computer) -> Result<()> {
    let golden = Golden::load(name, computer)?;
    let mut worst = 0f64;
    let mut prepared = Vec::new();
    for case in golden.cases("captions")? {
        let id = case["id"].as_str().context("id")?;
        let caption = case["caption"].as_str().context("caption")?;
        assert_eq!(pair_ids(&golden.model.tokens, caption, 75)?, ids_of(case), "{name} {id}: token ids");
        let image = std::fs::read(golden.folder.join(case["image"].as_str().context("image")?))?;
        let sample = golden.model.prepare(&Sample::Pair { image: &image, text: caption }, &Limits::default())?;
        assert_eq!(Some(sample.positions as u64), case["sequence_length"].as_u64(), "{name} {id}: positions");
        let score = f64::from(golden.model.score(std::slice::from_ref(&sample))?.scores[0]);
        let difference = (score - case["score"].as_f64().context("score")?).abs();
        assert!(difference <= TOLERANCE, "{name} {id}, {computer:?}: score {score} differs by {difference}");
        worst = worst.max(difference);
        prepared.push((sample, score));
    }
    // Batch = single, whatever the padding.
    let (samples, singles): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
    for (together, alone) in golden.model.score(&samples)?.scores.iter().zip(singles) {
        assert!((f64::from(*together) - alone).abs() <= 1e-5, "{name}: batched {together}, alone {alone}");
    }
    println!("{name}, {computer:?}: {} captions, largest difference {worst:.2e}", samples.len());
    Ok(())
}

#[test]
fn captions_of_qwen2_agree() -> Result<()> {
    Computer::all().into_iter().try_for_each(|computer| check_captions("tiny-qwen2", computer))
}

#[test]
fn captions_of_qwen3_agree() -> Result<()> {
    Computer::all().into_iter().try_for_each(|computer| check_captions("tiny-qwen3", computer))
}

type Lists = (Vec<Option<Vec<u8>>>, Vec<Option<String>>);

/// A document's two lists, from the form that the reference's script reads.
fn lists(document: &Value) -> Result<Lists> {
    let images = document["image_info"]
        .as_array()
        .context("image_info")?
        .iter()
        .map(|entry| entry["image_base64"].as_str().map(base64).transpose());
    let texts = document["texts"].as_array().context("texts")?.iter().map(|t| t.as_str().map(String::from));
    Ok((images.collect::<Result<_>>()?, texts.collect()))
}

fn base64(text: &str) -> Result<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u8> = text
        .bytes()
        .filter(|b| *b != b'=')
        .map(|b| ALPHABET.iter().position(|a| *a == b).map(|p| p as u8).context("not base64"))
        .collect::<Result<_>>()?;
    Ok(digits
        .chunks(4)
        .flat_map(|c| {
            let n = c.iter().enumerate().fold(0u32, |n, (i, d)| n | u32::from(*d) << (18 - 6 * i));
            n.to_be_bytes()[1..c.len()].to_vec()
        })
        .collect())
}

fn check_documents(name: &str, computer: Computer) -> Result<()> {
    let golden = Golden::load(name, computer)?;
    let (mut worst, mut scored) = (0f64, 0);
    let mut prepared = Vec::new();
    for case in golden.cases("interleaved")? {
        let id = case["id"].as_str().context("id")?;
        let file = golden.folder.join(case["document"].as_str().context("document")?);
        let (images, texts) = lists(&serde_json::from_slice(&std::fs::read(file)?)?)?;
        let images: Vec<_> = images.iter().map(Option::as_deref).collect();
        let texts: Vec<_> = texts.iter().map(Option::as_deref).collect();
        if case["n_ids"].is_u64() {
            // An image of one row or column is dropped with its slot.
            let kept: Vec<_> = images
                .iter()
                .zip(&texts)
                .filter(|(image, _)| {
                    let info = image.map(preprocess::probe).and_then(Result::ok);
                    info.is_none_or(|i| i.width > 1 && i.height > 1)
                })
                .map(|(_, text)| *text)
                .collect();
            assert_eq!(document_ids(&golden.model.tokens, &kept)?, ids_of(case), "{name} {id}: token ids");
        }
        let sample = golden.model.prepare(&Sample::Document { images, texts }, &Limits::default());
        match case["status"].as_str() {
            Some("ok") => {
                let sample = sample.with_context(|| format!("{name} {id}"))?;
                assert_eq!(Some(sample.positions as u64), case["sequence_length"].as_u64(), "{name} {id}: positions");
                let score = f64::from(golden.model.score(std::slice::from_ref(&sample))?.scores[0]);
                let difference = (score - case["score"].as_f64().context("score")?).abs();
                assert!(difference <= TOLERANCE, "{name} {id}, {computer:?}: score {score} differs by {difference}");
                (worst, scored) = (worst.max(difference), scored + 1);
                prepared.push((sample, score));
            }
            // What the reference skips or fails on has no score here either, and a reason.
            _ => assert!(sample.is_err(), "{name} {id} has no score in the reference"),
        }
    }
    let (samples, singles): (Vec<_>, Vec<_>) = prepared.into_iter().filter(|(s, _)| s.positions < 2000).unzip();
    for (together, alone) in golden.model.score(&samples)?.scores.iter().zip(singles) {
        assert!((f64::from(*together) - alone).abs() <= 1e-5, "{name}: batched {together}, alone {alone}");
    }
    println!("{name}, {computer:?}: {scored} documents, largest difference {worst:.2e}");
    Ok(())
}

#[test]
fn documents_of_qwen2_agree() -> Result<()> {
    Computer::all().into_iter().try_for_each(|computer| check_documents("tiny-qwen2", computer))
}

#[test]
fn documents_of_qwen3_agree() -> Result<()> {
    Computer::all().into_iter().try_for_each(|computer| check_documents("tiny-qwen3", computer))
}

/// Each stage on its own, so that a difference is found where it arises.
#[test]
fn every_stage_agrees() -> Result<()> {
    for (name, computer) in
        ["tiny-qwen2", "tiny-qwen3"].into_iter().flat_map(|n| Computer::all().into_iter().map(move |c| (n, c)))
    {
        let golden = Golden::load(name, computer)?;
        let case = golden.cases("captions")?.iter().find(|c| c["id"] == "c02").context("c02")?;
        let image = std::fs::read(golden.folder.join(case["image"].as_str().context("image")?))?;
        let text = case["caption"].as_str().context("caption")?;
        let sample = golden.model.prepare(&Sample::Pair { image: &image, text }, &Limits::default())?;
        let features = golden.model.engine.vision_features(&[sample.images[0].pixels()])?;
        let close = |found: &[f32], file: &str, tolerance: f32| -> Result<()> {
            let expected = golden.array(file)?;
            ensure!(
                found.len() == expected.len(),
                "{name} {file}: {} values, expected {}",
                found.len(),
                expected.len()
            );
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0., f32::max);
            ensure!(worst <= tolerance, "{name} {file}: differs by {worst}");
            Ok(())
        };
        close(&features, "c02.vision_features.npy", 2e-5)?;
        let batch = std::slice::from_ref(&sample);
        assert_eq!(golden.model.encode_images(batch)?, 1);
        let embeddings = match sample.images[0].embeddings().context("embeddings")? {
            Embeddings::Host(values) => values.clone(),
            Embeddings::Candle(tensor) => tensor.flatten_all()?.to_vec1()?,
            #[cfg(feature = "cuda")]
            Embeddings::Device(values) => values.to_vec()?,
        };
        close(&embeddings, "c02.projector.npy", 2e-5)?;
        let states = golden.model.last_states(batch)?;
        let expected = golden.array("c02.last_hidden_state.npy")?;
        let last = &expected[expected.len() - states.len()..];
        for (found, expected) in states.iter().zip(last) {
            ensure!((found - expected).abs() <= 5e-5, "{name} last hidden state: {found}, expected {expected}");
        }
    }
    Ok(())
}

/// Short numbers against f32, over all captions: bf16 and f16 are no further off than the reference's own, bytes no further
/// than is promised. On any CPU also by the arithmetic that AVX-512 has instructions for.
#[test]
fn short_numbers_score_close_to_f32() -> Result<()> {
    for name in ["tiny-qwen2", "tiny-qwen3"] {
        let exact = Golden::load(name, Computer::Kernels(Isa::detect()))?;
        let scores = |golden: &Golden| -> Result<Vec<f32>> {
            let prepared = golden.cases("captions")?.iter().map(|case| {
                let caption = case["caption"].as_str().context("caption")?;
                let image = std::fs::read(golden.folder.join(case["image"].as_str().context("image")?))?;
                Ok(golden.model.prepare(&Sample::Pair { image: &image, text: caption }, &Limits::default())?)
            });
            Ok(golden.model.score(&prepared.collect::<Result<Vec<_>>>()?)?.scores)
        };
        let expected = scores(&exact)?;
        let reference = |field: &str| -> Result<f32> {
            let cases = exact.cases("captions")?;
            let apart = cases.iter().map(|case| Some(case[field].as_f64()? - case["score"].as_f64()?));
            let total: f64 = apart.map(|d| d.map(f64::abs)).sum::<Option<f64>>().context("cases.json")?;
            Ok((total / cases.len() as f64) as f32)
        };
        for (storage, most) in
            [(Storage::Bf16, reference("score_bf16")?), (Storage::F16, reference("score_f16")?), (Storage::I8, 0.05)]
        {
            let computers = [Isa::detect(), Isa::Wide, Isa::Tiles].map(|isa| Computer::Short(Way { isa, storage }));
            let on_gpu = match storage {
                Storage::Bf16 => Computer::cuda(DtypeChoice::Bf16),
                Storage::F16 => Computer::cuda(DtypeChoice::F16),
                Storage::F32 | Storage::I8 => None,
            };
            for computer in computers.into_iter().chain(on_gpu) {
                let found = scores(&Golden::load(name, computer)?)?;
                let apart: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).collect();
                let mean = apart.iter().sum::<f32>() / apart.len() as f32;
                let largest = apart.iter().copied().fold(0., f32::max);
                println!("{name} {storage:?} {computer:?}: mean {mean:.4}, largest {largest:.4} of {}", apart.len());
                assert!(mean < most, "{name} {storage:?} {computer:?}: {mean}, the bound is {most}");
                assert!(mean > 0., "short numbers that change nothing are not short");
            }
        }
    }
    Ok(())
}
