//! The columns that scoring adds to its input's.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

/// The names of the columns that a score node adds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct ScoreColumns {
    /// The score: Float32.
    pub score: String,
    /// Why there is no score, if that is wanted: Utf8.
    pub error: Option<String>,
}

impl ScoreColumns {
    /// The names, the score's first.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.score).chain(&self.error)
    }

    /// The fields, nullable both.
    pub fn fields(&self) -> impl Iterator<Item = FieldRef> {
        let score = Arc::new(Field::new(&self.score, DataType::Float32, true));
        let error = self.error.as_ref().map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
        std::iter::once(score).chain(error)
    }
}
