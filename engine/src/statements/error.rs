//! Why a statement cannot be run.

use datafusion::error::DataFusionError;
use tamis_files::describe::{Place, message};

/// Why a statement cannot be run, as far as its text tells.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// It is not SQL.
    #[error("{}", message(.0))]
    Syntax(#[source] Box<DataFusionError>),
    /// A query without FROM names columns, and there is no corpus to take them from.
    #[error("{place}: this query names columns but no table; add FROM 'FILE', or give --corpus PATH")]
    NoCorpus {
        /// Where the query begins.
        place: Place,
    },
    /// A sample of a table that cannot be taken.
    #[error("{place}: {sample}: {reason}")]
    Sample {
        /// Where the table stands.
        place: Place,
        /// The sample as the user wrote it.
        sample: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One query was wanted.
    #[error("{text}: expected one query that gives rows, or a table")]
    NotOne {
        /// What was given.
        text: String,
    },
}

impl From<DataFusionError> for StatementError {
    fn from(error: DataFusionError) -> Self {
        Self::Syntax(Box::new(error))
    }
}
