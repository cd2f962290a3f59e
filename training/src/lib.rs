//! Training of quality models: losses, gradients, optimisers, checkpoints.
//!
//! [`Model`] is UniFilter with gradients, on candle; [`Reader`](data::Reader) makes samples of rows, [`Trainer`](run::Trainer) goes
//! through them. What a model computes is what the inference engines of [`tamis_models`] compute; what is trained here is scored there.

pub mod data;
mod device;
mod error;
pub mod files;
mod model;
mod ops;
pub mod optimizer;
pub mod run;

pub use device::device;
pub use error::TrainingError;
pub use model::{Beginning, Gradients, Loss, Model, Outcome, Parameters, Part};
