//! What can go wrong while a model is trained.

use std::path::PathBuf;

/// Why training cannot begin, or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// The model's files cannot be read.
    #[error(transparent)]
    Load(#[from] tamis_models::LoadError),
    /// A file cannot be read or written.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The arithmetic failed: a shape, a device, memory.
    #[error("{doing}: {source}")]
    Compute {
        /// What was being computed.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: candle_core::Error,
    },
    /// A tensor that the model needs is not in the checkpoint, or has another shape.
    #[error(
        "{model}: tensor {name} has shape {found:?}, expected {expected:?}: the checkpoint does not fit its config.json"
    )]
    Tensor {
        /// The checkpoint.
        model: String,
        /// The tensor's name.
        name: String,
        /// What is there; empty where there is none.
        found: Vec<usize>,
        /// What the configuration asks for.
        expected: Vec<usize>,
    },
    /// What was given cannot be trained on.
    #[error("{0}")]
    Data(String),
    /// Flags or files contradict each other.
    #[error("{0}")]
    Usage(String),
    /// The loss is no number any more.
    #[error("step {step}: the loss is {loss}; lower the learning rate, or look at the data")]
    Diverged {
        /// The optimiser's step.
        step: usize,
        /// The loss.
        loss: f32,
    },
}

impl TrainingError {
    /// Whether the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn compute(doing: &'static str) -> impl FnOnce(candle_core::Error) -> Self {
        move |source| Self::Compute { doing, source }
    }
}
