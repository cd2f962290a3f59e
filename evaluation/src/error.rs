//! What can go wrong with an evaluation.

use crate::counts::Sample;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// No row has a label.
    #[error("no rows to evaluate: {}", no_rows(*.unlabelled))]
    NoRows {
        /// How many rows there are without a label.
        unlabelled: u64,
    },
    /// No row has a score.
    #[error("{column}: none of the {rows} labelled rows has a score")]
    NoScores {
        /// The column of scores.
        column: String,
        /// How many rows there are.
        rows: usize,
    },
    /// More rows than can be counted.
    #[error("{rows} labelled rows; at most {} can be evaluated at once: take a sample of them", Sample::MOST_ROWS)]
    TooManyRows {
        /// How many rows there are.
        rows: usize,
    },
    /// A picture could not be drawn.
    #[error("drawing {picture}: {reason}")]
    Picture {
        /// The picture's file.
        picture: &'static str,
        /// Why not.
        reason: String,
    },
}

fn no_rows(unlabelled: u64) -> String {
    match unlabelled {
        0 => "the data has no rows".into(),
        rows => format!("none of the {rows} rows has a label"),
    }
}
