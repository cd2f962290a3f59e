//! What can go wrong in a function or in the runtime, and its one conversion into DataFusion's error.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use tamis_models::{LoadError, ModelError};

use crate::reach::Refused;

/// Why a model call cannot be planned or run. What concerns a single row is an outcome, not an error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A function was called with a number of arguments that it does not take.
    #[error("{function} takes {expected}, found {found}")]
    ArgumentCount {
        /// The SQL function.
        function: String,
        /// What it takes.
        expected: &'static str,
        /// How many were given.
        found: usize,
    },
    /// An argument has a type that the function does not take.
    #[error("{function}: argument {position} ({argument}) is {found}, expected {expected}")]
    ArgumentType {
        /// The SQL function.
        function: String,
        /// The argument's place, counted from 1.
        position: usize,
        /// The argument's name.
        argument: &'static str,
        /// The type found.
        found: DataType,
        /// The types accepted.
        expected: &'static str,
    },
    /// The model's name is not a string literal.
    #[error("{function}: argument 3 (model) must be a string literal such as 'default'; it cannot vary by row")]
    ModelNotLiteral {
        /// The SQL function.
        function: String,
    },
    /// The arguments of one call differ in length.
    #[error("arguments of one model call have {left} and {right} rows")]
    UnequalColumns {
        /// Rows of the image argument.
        left: usize,
        /// Rows of the text argument.
        right: usize,
    },
    /// A session option's key is not known.
    #[error("no session option {key}; the options are {known}")]
    UnknownOption {
        /// The key with its prefix.
        key: String,
        /// The keys that exist.
        known: String,
    },
    /// A session option's value is not understood.
    #[error("session option {key}: {value:?} is not accepted, expected {expected}")]
    OptionValue {
        /// The key with its prefix.
        key: String,
        /// The value given.
        value: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A model function family that the runtime has no model for.
    #[error("no model runs the function {family}")]
    UnknownFamily {
        /// The family.
        family: String,
    },
    /// A model's name is none that the session knows, nor a place where a model lies.
    #[error("model {name}: not among the session's names ({known}) and not a place to load from: {source}")]
    UnknownModel {
        /// The name as the user gave it.
        name: String,
        /// The names that the session knows.
        known: String,
        /// Why it is no location.
        #[source]
        source: Arc<LoadError>,
    },
    /// A query may not reach what it asks for.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A function that may read files was called without what tells where it may.
    #[error(
        "{function}: DataFusion calls it here while it plans, where it is not known what you may read; images are named by \
         columns of files, not by those in the names of folders"
    )]
    NoSession {
        /// The SQL function.
        function: String,
    },
    /// A model could not be loaded.
    #[error("loading model {model}: {source}")]
    Load {
        /// Where the model lies.
        model: String,
        /// The cause.
        #[source]
        source: Arc<LoadError>,
    },
    /// Threads for the model could not be started.
    #[error("starting threads for model {model}: {reason}")]
    Threads {
        /// Where the model lies.
        model: String,
        /// The cause.
        reason: String,
    },
    /// Code of the model panicked while it was loading.
    #[error("loading model {model} panicked: {reason}; this is a defect of the program")]
    LoadPanicked {
        /// Where the model lies.
        model: String,
        /// The panic's message.
        reason: String,
    },
    /// The device fails for every row, so that no row can be blamed.
    #[error("scoring with model {model} on its device: {source}")]
    Device {
        /// Where the model lies.
        model: String,
        /// The cause.
        #[source]
        source: Arc<ForwardError>,
    },
    /// The runtime dropped a call without an answer.
    #[error("model {model} stopped before it had answered; this is a defect of the program")]
    Stopped {
        /// Where the model lies.
        model: String,
    },
    /// A row could not be scored and `tamis.scoring.on_error` is `fail`.
    #[error("{function}: row {row} of a batch cannot be scored: {reason} (tamis.scoring.on_error = 'fail')")]
    Row {
        /// The SQL function.
        function: String,
        /// The row's place in its record batch, counted from 0.
        row: usize,
        /// Why.
        reason: Arc<str>,
    },
}

/// Why a forward pass gave no scores.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The model says why.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model's code panicked.
    #[error("forward pass panicked: {0}")]
    Panicked(String),
    /// The model gave another number of scores than it was given rows.
    #[error("forward pass over {rows} rows gave {scores} scores")]
    Count {
        /// Rows given.
        rows: usize,
        /// Scores returned.
        scores: usize,
    },
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        match error {
            Error::ArgumentCount { .. } | Error::ArgumentType { .. } | Error::ModelNotLiteral { .. } => {
                Self::Plan(error.to_string())
            }
            Error::UnknownOption { .. } | Error::OptionValue { .. } => Self::Configuration(error.to_string()),
            Error::Row { .. } => Self::Execution(error.to_string()),
            Error::Refused(refused) => refused.into(),
            other => Self::External(Box::new(other)),
        }
    }
}
