//! Which SQL functions are model calls.
//!
//! The planner asks this module; it does not know the functions by name.

/// What a model function returns of the one call that it shares with its siblings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallOutput {
    /// The score: Float32.
    Score,
    /// Why there is no score: Utf8.
    Error,
}

/// A model function: the family that it belongs to (`unifilter`) and what it returns of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelFunction {
    /// The function that gives the score; functions of one family with equal arguments share one call.
    pub family: &'static str,
    /// What this function returns.
    pub output: CallOutput,
}

/// The model function of this SQL name, if it is one.
pub fn model_function(name: &str) -> Option<ModelFunction> {
    match name {
        "unifilter" => Some(ModelFunction { family: "unifilter", output: CallOutput::Score }),
        "unifilter_error" => Some(ModelFunction { family: "unifilter", output: CallOutput::Error }),
        _ => None,
    }
}
