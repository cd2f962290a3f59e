//! What can go wrong between a model call in SQL and its plan node's output.

use datafusion::error::DataFusionError;

/// Why a model call could not be planned or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlannerError {
    /// The argument that names the model is not a string literal.
    #[error(
        "planning {family}: the model's name must be a string literal, found {found}; \
         write it as {family}(image, text, 'name')"
    )]
    ModelNotLiteral {
        /// The model family.
        family: String,
        /// What stands in the literal's place.
        found: String,
    },
    /// A score node's arguments, names or input do not fit together.
    #[error("building a score node for {family}: {reason}")]
    InvalidNode {
        /// The model family.
        family: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A fetch node's addresses or input do not fit together.
    #[error("building or running a fetch of rows by address: {reason}")]
    InvalidFetch {
        /// What is wrong with it.
        reason: String,
    },
    /// A file gave fewer rows than were asked for.
    #[error("fetching rows of {file}: some are gone; the file was changed while the query ran, run the query again")]
    RowsMissing {
        /// The file.
        file: String,
    },
    /// A row could not be scored, and the session asks for failure in that case.
    #[error("scoring with {family}: {reason}; set tamis.scoring.on_error = 'null' to get NULL for such rows")]
    RowFailed {
        /// The model family.
        family: String,
        /// Why the row has no score.
        reason: String,
    },
    /// The query was cancelled, or its client is gone.
    #[error("the query was cancelled")]
    Stopped,
    /// The runtime gave another number of outcomes than it got rows.
    #[error("scoring {rows} rows gave {outcomes} outcomes; this is a defect of the program")]
    OutcomeCount {
        /// How many rows were submitted.
        rows: usize,
        /// How many outcomes came back.
        outcomes: usize,
    },
}

impl From<PlannerError> for DataFusionError {
    fn from(error: PlannerError) -> Self {
        Self::External(Box::new(error))
    }
}
