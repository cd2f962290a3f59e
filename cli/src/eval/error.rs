//! What can go wrong with `tamis eval`.

use std::io;

use tamis_evaluation::EvaluationError;

/// Why scores could not be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EvalError {
    /// There are no figures.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// The data lacks a column.
    #[error("--data has no column {column}{wanted}; its columns are: {known}")]
    NoColumn {
        /// The column that was asked for.
        column: String,
        /// What for and what to do.
        wanted: &'static str,
        /// Those that there are.
        known: String,
    },
    /// A column is of a type that cannot be used.
    #[error("column {column} is {found}, and {wanted}")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// What it should be, and what to do.
        wanted: &'static str,
    },
    /// A label is not one of four.
    #[error(
        "column {column} has the label {value}; labels are 0, 1, 2 and 3. Map others in the query of --data, or leave their \
         rows out with WHERE"
    )]
    Label {
        /// The column of labels.
        column: String,
        /// What is no label.
        value: f64,
    },
    /// Two sets of figures would have the same name.
    #[error("{name} is evaluated twice: --model and --score need names that differ")]
    SameName {
        /// The name.
        name: String,
    },
    /// There are too many groups.
    #[error(
        "--by {column}: more than {} groups; take a column of fewer values, or make one in the query of --data",
        super::rows::MOST_GROUPS
    )]
    TooManyGroups {
        /// The column that groups differ in.
        column: String,
    },
    /// The report could not be made JSON.
    #[error("making the report's JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A file of the report could not be written.
    #[error("writing {path}: {source}")]
    Write {
        /// The file or folder.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl EvalError {
    /// Whether the command line is at fault, not the data.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::SameName { .. })
    }
}
