//! The trait that joins all models, and loading one by its location.

use std::fmt::Debug;
use std::sync::Arc;

use crate::checkpoint::Location;
use crate::{LoadError, ModelError, Prepared, SampleError};

/// One row's content, borrowed from where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sample<'a> {
    /// An image and its caption.
    Pair {
        /// The encoded image file (JPEG, PNG, WebP, GIF, BMP or TIFF).
        image: &'a [u8],
        /// The caption.
        text: &'a str,
    },
    /// An interleaved document as two parallel lists: null where the other modality stands.
    Document {
        /// Encoded image files.
        images: Vec<Option<&'a [u8]>>,
        /// Texts.
        texts: Vec<Option<&'a str>>,
    },
}

/// What bounds a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A caption is cut to this many token ids, the BOS and the image token included.
    pub max_text_tokens: usize,
    /// A document with more images is not scored.
    pub max_document_images: usize,
    /// A document with more token ids (the image token counts as one) is not scored.
    pub max_document_tokens: usize,
    /// An image with more pixels is refused before memory is allocated for it.
    pub max_image_pixels: u64,
}

impl Default for Limits {
    /// The reference's limits: 75 ids for a caption; 10 images and 6000 ids for a document; Pillow's warning threshold
    /// for decompression bombs (1024^3 / 4 / 3 pixels) as the largest image.
    fn default() -> Self {
        Self { max_text_tokens: 75, max_document_images: 10, max_document_tokens: 6000, max_image_pixels: 89_478_485 }
    }
}

/// A model that gives one score a sample.
///
/// `prepare` runs on any number of CPU threads at once; `score` is called by the one thread that owns the device.
pub trait Scorer: Send + Sync + Debug {
    /// Identifies the arithmetic: weights, configuration, tokenizer, preprocessing version, dtype and class of device,
    /// as hexadecimal digits. The first call may read the checkpoint's files.
    fn fingerprint(&self) -> Result<&str, LoadError>;

    /// Decodes, resizes and tokenises one sample.
    fn prepare(&self, sample: &Sample<'_>, limits: &Limits) -> Result<Prepared, SampleError>;

    /// Scores prepared samples in one forward pass; one score a sample, in order. Batching does not change a score
    /// beyond 1e-5 (f32).
    fn score(&self, batch: &[Prepared]) -> Result<Scored, ModelError>;
}

/// What a forward pass gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// One score a sample, in order.
    pub scores: Vec<f32>,
    /// Images that went through the vision tower: those whose embeddings were not at hand.
    pub images_encoded: usize,
}

/// Where a model runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// The first CUDA device if this build and machine have one that can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by its number.
    Cuda(usize),
}

impl DeviceChoice {
    /// Whether this comes to a GPU here.
    pub fn is_cuda(self) -> bool {
        match self {
            Self::Cpu => false,
            Self::Cuda(_) => true,
            Self::Auto => crate::device::has_cuda(),
        }
    }
}

/// The floating-point type of weights and activations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DtypeChoice {
    /// f32 on a CPU, bf16 on a GPU.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half precision, what the reference's scripts use.
    F16,
    /// Weights and activations in bytes, on a CPU only: faster, and less exact.
    Int8,
}

/// Loads the model at `location`: reads its configuration, maps its weights into memory and moves them to the device.
///
/// Blocks: call it off the async runtime.
pub fn load(location: &Location, device: DeviceChoice, dtype: DtypeChoice) -> Result<Arc<dyn Scorer>, LoadError> {
    Ok(Arc::new(crate::unifilter::UniFilter::load(location, device, dtype)?))
}

/// Floating-point operations of scoring one image with a caption of `text_tokens` ids, by the model's configuration.
/// Loads no weights and fetches nothing; `None` if the model lies elsewhere or its configuration cannot be read.
pub fn flops(location: &Location, text_tokens: usize) -> Option<f64> {
    crate::unifilter::flops(location, text_tokens).ok().flatten()
}

/// A choice that could not be parsed: what was given and what is understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a {what}; expected {expected}")]
pub struct ParseChoiceError {
    given: String,
    what: &'static str,
    expected: &'static str,
}

impl std::str::FromStr for DeviceChoice {
    type Err = ParseChoiceError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => s.strip_prefix("cuda:").and_then(|n| n.parse().ok()).map(Self::Cuda).ok_or_else(|| ParseChoiceError {
                given: s.into(),
                what: "device",
                expected: "auto, cpu or cuda:N",
            }),
        }
    }
}

impl std::str::FromStr for DtypeChoice {
    type Err = ParseChoiceError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            _ => Err(ParseChoiceError { given: s.into(), what: "dtype", expected: "auto, f32, bf16, f16 or int8" }),
        }
    }
}
