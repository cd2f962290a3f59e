//! The arguments of a model call as columns, and their rows as samples.

use arrow::array::ArrayRef;
use datafusion::error::Result;

/// The arguments of one model call for a batch of rows, checked for type once.
#[derive(Debug, Clone)]
pub struct SampleColumns {
    args: Vec<ArrayRef>,
}

impl SampleColumns {
    /// Takes the image and text arguments (without the model's name), each an array of the batch's length.
    pub fn try_new(args: &[ArrayRef]) -> Result<Self> {
        Ok(Self { args: args.to_vec() })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.args.first().map_or(0, |a| a.len())
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
