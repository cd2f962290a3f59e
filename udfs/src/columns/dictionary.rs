//! The keys of a dictionary-encoded column, whatever their integer type.

use arrow::array::{AnyDictionaryArray, Array};
use arrow::buffer::NullBuffer;

/// Where each row's value stands among the dictionary's values.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    keys: Vec<usize>,
    nulls: Option<NullBuffer>,
}

impl Keys {
    pub(super) fn new(dictionary: &dyn AnyDictionaryArray) -> Self {
        // `normalized_keys` refuses a dictionary without values; all its rows are NULL.
        let keys = if dictionary.values().is_empty() { Vec::new() } else { dictionary.normalized_keys() };
        Self { keys, nulls: dictionary.keys().nulls().cloned() }
    }

    /// The index of a row's value; `None` for NULL.
    pub(super) fn get(&self, row: usize) -> Option<usize> {
        match &self.nulls {
            Some(nulls) if nulls.is_null(row) => None,
            _ => self.keys.get(row).copied(),
        }
    }
}
