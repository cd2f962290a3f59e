//! What can go wrong while texts are asked for. What concerns a single row is quarantined, not an error.

use crate::journal::JournalError;
use crate::sample::Usage;

/// Why a run could not begin, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthesisError {
    /// No key in the environment.
    #[error("{provider} needs a key: set {variable} in the environment")]
    NoKey {
        /// The provider.
        provider: &'static str,
        /// The variable.
        variable: &'static str,
    },
    /// What was asked for cannot be done.
    #[error("{0}")]
    Usage(String),
    /// The client for requests could not be made.
    #[error("setting up requests: {0}")]
    Client(#[source] reqwest::Error),
    /// The provider refuses everything.
    #[error("{url} refuses: {reason}")]
    Refused {
        /// What was asked.
        url: String,
        /// What it says.
        reason: String,
    },
    /// The provider does not answer, however often it is asked.
    #[error("{url} does not answer, asked {attempts} times: {reason}; --resume goes on where it stopped")]
    Unreachable {
        /// What was asked.
        url: String,
        /// How often.
        attempts: u32,
        /// What happened last.
        reason: String,
    },
    /// The budget is spent.
    #[error(
        "the budget is spent: {} tokens and ${:.4} used, and one more request could go beyond; {left} rows have no texts; \
         --resume with more goes on", spent.input_tokens + spent.output_tokens, spent.cost_usd
    )]
    Budget {
        /// What was spent.
        spent: Usage,
        /// Rows that were not asked about.
        left: usize,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An image that was put aside could not be read.
    #[error("reading an image that was put aside: {0}")]
    Image(#[source] std::io::Error),
}

impl SynthesisError {
    /// Whether the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::NoKey { .. })
    }
}
