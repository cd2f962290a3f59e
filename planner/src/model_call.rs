//! A model call with its arguments.

use std::fmt;

/// A model call apart from what is wanted of it: which model, over which arguments. `E` is a logical or a physical
/// expression. Calls that are equal share one score.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct ModelCall<E> {
    /// The model family, such as `unifilter`.
    pub family: String,
    /// The model's name; `None` for the session's default.
    pub model: Option<String>,
    /// The image and text arguments, without the model's name.
    pub args: Vec<E>,
}

impl<E> ModelCall<E> {
    /// The same call with each of its arguments rewritten; `None` if one cannot be.
    pub fn map_args<F>(&self, f: impl Fn(&E) -> Option<F>) -> Option<ModelCall<F>> {
        Some(self.with_args(self.args.iter().map(f).collect::<Option<_>>()?))
    }

    /// The same call over other arguments.
    pub fn with_args<F>(&self, args: Vec<F>) -> ModelCall<F> {
        ModelCall { family: self.family.clone(), model: self.model.clone(), args }
    }
}

/// `family(arguments)`.
impl<E: fmt::Display> fmt::Display for ModelCall<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.family)?;
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                write!(f, ", ")?;
            }
            write!(f, "{arg}")?;
        }
        write!(f, ")")
    }
}
