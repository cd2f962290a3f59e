//! Neural quality models for image-text data: checkpoints, preprocessing, arithmetic.
//!
//! This crate knows nothing of SQL. A model is a [`Scorer`]: it *prepares* a sample on a CPU thread (bytes and text in,
//! pixels and token ids out) and *scores* a batch of prepared samples on a device.

pub mod checkpoint;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod error;
mod kernels;
mod prepared;
pub mod preprocess;
pub mod roofline;
mod scorer;
pub mod simd;
pub mod text;
pub mod unifilter;

pub use checkpoint::fingerprint;
pub use error::{LoadError, ModelError, SampleError};
pub use prepared::{Prepared, PreparedImage};
pub use scorer::{DeviceChoice, DtypeChoice, Limits, ParseChoiceError, Sample, Scored, Scorer, flops, load};
