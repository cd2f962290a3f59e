//! Which SQL functions are model calls.
//!
//! The planner asks this module; it does not know the functions by name. The functions of one family take the same
//! arguments: first those that make up the sample, then, optionally, the model's name as a literal. Calls of one family
//! with equal arguments are one call of the model, whatever each of them returns of it.

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

/// How many of a model call's arguments make up the sample; the one after them, if there is one, is the model's name.
pub const SAMPLE_ARGUMENTS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions;

    #[test]
    fn functions_of_a_family_share_its_call() {
        let score = model_function("unifilter").unwrap();
        let error = model_function("unifilter_error").unwrap();
        assert_eq!(score.family, error.family);
        assert_eq!((score.output, error.output), (CallOutput::Score, CallOutput::Error));
    }

    #[test]
    fn a_family_is_named_like_the_function_that_gives_its_score() {
        for function in functions::all() {
            if let Some(call) = model_function(function.name()) {
                assert_eq!(
                    model_function(call.family),
                    Some(ModelFunction { family: call.family, output: CallOutput::Score })
                );
            }
        }
    }

    #[test]
    fn functions_that_run_no_model_are_none() {
        for name in ["image_width", "image_height", "image_format", "abs", "UNIFILTER", ""] {
            assert_eq!(model_function(name), None, "{name}");
        }
    }

    #[test]
    fn every_model_function_is_registered() {
        let names: Vec<String> = functions::all().iter().map(|f| f.name().to_string()).collect();
        for name in ["unifilter", "unifilter_error"] {
            assert!(names.contains(&name.to_string()), "{names:?}");
        }
    }
}
